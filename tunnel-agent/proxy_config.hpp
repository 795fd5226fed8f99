// The section [proxy] of agent.toml: by which HTTP proxy REST calls and lanes reach the gateway.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cloud-api-client/include/cloud_api/proxy_connector.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/daemon/config_reader.hpp"

namespace culvert {

struct ProxyConfig {
  bool direct = false;                            ///< No proxy, whatever the environment says.
  std::optional<cloud_api::ProxySettings> named;  ///< The proxy of `url`; absent: that of the environment.
  cloud_api::ProxyAuth auth = cloud_api::ProxyAuth::Auto;
  std::string user;
  std::filesystem::path password_file;  ///< Given exactly when `user` is.
  std::filesystem::path keytab;         ///< Empty: the ticket cache of the process.
};

/// Reads and checks the keys of [proxy]; files are not opened.
void read_proxy(ConfigReader& reader, ProxyConfig& config);

/// The proxy to go through, ready for use; null for the direct way. The environment's never leads to a
/// loopback gateway, one that is named in the configuration does.
/// @error NotFound, FileUnreadable, FileUnsafe of the secret files; ConfigInvalid for the environment's.
Result<std::shared_ptr<cloud_api::ProxyConnector>> open_proxy(const ProxyConfig& config,
                                                              const cloud_api::GatewayUrl& gateway,
                                                              const cloud_api::Environment& environment);

/// Lets Kerberos log in with the keytab, with tickets in memory alone. Before the process has other threads,
/// because it changes the environment.
void use_keytab(const ProxyConfig& config);

}  // namespace culvert
