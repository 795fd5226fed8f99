// The address of a gateway, as people write it: https://gw.example.net, https://[2001:db8::7]:8443.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert::cloud_api {

struct GatewayUrl {
  std::string host;  ///< Lower case; an IPv6 literal without its brackets.
  std::uint16_t port = 443;

  /// @error ConfigInvalid: not https, no host, a bad port, user information, or a path other than '/'.
  static Result<GatewayUrl> parse(std::string_view text);

  bool host_is_literal() const;   ///< An IP address: it is verified as one, and no server name is sent.
  bool host_is_loopback() const;  ///< `localhost`, 127.0.0.0/8 or ::1: never by way of a proxy.
  std::string authority() const;  ///< `gw.example.net:443`, `[::1]:8443`: always with the port.
  std::string to_text() const;    ///< `https://` and authority(), without the port when it is 443.

  friend bool operator==(const GatewayUrl&, const GatewayUrl&) = default;
};

}  // namespace culvert::cloud_api
