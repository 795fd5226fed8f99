// A TCP connection to a name: all its addresses, IPv6 and IPv4, the first that answers wins.
#pragma once

#include <cstdint>
#include <string>

#include "cloud-api-client/include/cloud_api/wake.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::cloud_api {

/// A socket whose connection stands and which has not been told so: see rest_transport.cpp.
class DialedSocket {
 public:
  DialedSocket(int fd, bool ipv6) : fd_(fd), ipv6_(ipv6) {}
  /// Takes a connected socket whose kind is to be asked for.
  static DialedSocket of(int fd);
  DialedSocket(DialedSocket&& other) noexcept : fd_(other.release()), ipv6_(other.ipv6_) {}
  DialedSocket& operator=(DialedSocket&&) = delete;
  ~DialedSocket();

  bool ipv6() const { return ipv6_; }
  int fd() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
  bool ipv6_;
};

/// Starts with the first address and adds the next one whenever 250 ms pass or an attempt fails.
/// @param host  a name or IP literal without brackets.
/// @error NameUnresolved, ConnectionRefused, Unreachable, TimedOut, Cancelled; the message says what to
/// check.
Result<DialedSocket> dial(const std::string& host, std::uint16_t port, Instant deadline,
                          const Wake& cancelled);

}  // namespace culvert::cloud_api
