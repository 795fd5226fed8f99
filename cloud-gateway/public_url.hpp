// The URL that joining strings tell agents to connect to, as a provider writes it: checked wherever it comes
// in, so that no joining string is made of one that no agent can use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert {

struct PublicUrl {
  std::string host;  ///< As written; an IPv6 address without its brackets.
  std::uint16_t port = 443;

  /// Takes no more than agents (cloud_api::GatewayUrl) and joining strings both do: https://HOST[:PORT].
  /// @error UsageInvalid; the message goes on after the name of the option or key: `has a port outside ...`.
  static Result<PublicUrl> parse(std::string_view text);
};

}  // namespace culvert
