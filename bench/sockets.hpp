// Blocking TCP for the benchmark programs: small, and never the bottleneck.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert::bench {

/// What every peer of the comparison gets per system call.
inline constexpr std::size_t kBlock = 256 * 1024;

/// `127.0.0.1:5000`; `port` alone means loopback.
struct Endpoint {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
};

/// Ends the program with exit code 2 when `text` is neither PORT nor IPV4:PORT.
Endpoint parse_endpoint(std::string_view text);

/// A listening socket. Ends the program with exit code 1 on failure.
UniqueFd listen_on(const Endpoint& endpoint);
std::uint16_t port_of(int listener);
/// Blocks. Ends the program on failure of the listener.
UniqueFd accept_one(int listener);
/// With TCP_NODELAY. No descriptor on failure; errno says why.
UniqueFd connect_to(const Endpoint& endpoint);

/// All of `bytes`; false when the connection failed.
bool send_all(int fd, ByteSpan bytes);
/// Exactly `bytes`; false at end of stream or failure.
bool receive_all(int fd, MutableByteSpan bytes);

[[noreturn]] void fail(int exit_code, std::string_view message);

}  // namespace culvert::bench
