// Which proxy the environment asks for.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cloud-api-client/include/cloud_api/gateway_url.hpp"

namespace culvert::cloud_api {

using Environment = std::function<std::optional<std::string>(const char* name)>;

/// The variables of this process.
std::optional<std::string> process_environment(const char* name);

/// `https_proxy` (or HTTPS_PROXY), unless the gateway is a loopback address or `no_proxy` (or NO_PROXY) names
/// it: a list of host names and domains separated by commas, `*` for all.
/// @return host and port of the proxy (8080 when it names none); nullopt for the direct way.
/// @error ConfigInvalid: not http://HOST[:PORT], or with a user name, which is not supported.
Result<std::optional<GatewayUrl>> proxy_for(const GatewayUrl& gateway, const Environment& environment);

}  // namespace culvert::cloud_api
