// Where the gateway listens: ADDRESS:PORT, as `0.0.0.0:443` or `[::]:443`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert {

struct ListenAddress {
  std::string host;  ///< An IPv4 or IPv6 address, without brackets.
  std::uint16_t port = 0;

  bool is_ipv6() const { return host.find(':') != std::string::npos; }
  std::string to_text() const;  ///< As it is written, IPv6 in brackets.
  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};

/// @error UsageInvalid, which shows the text and how it should look. Port 0 (any free one) is accepted:
/// callers that
///        need a port to tell others refuse it.
Result<ListenAddress> parse_listen_address(std::string_view text);

}  // namespace culvert
