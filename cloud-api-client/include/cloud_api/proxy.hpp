// Which HTTP proxy, if any, stands between us and the gateway, and how we log in at it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cloud-api-client/include/cloud_api/gateway_url.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::cloud_api {

enum class ProxyAuth {
  Auto,  ///< Ask without a login first, then use the strongest method that is offered and that we can do.
  None,
  Basic,
  Digest,
  Ntlm,
  Negotiate,  ///< Kerberos, with the credentials of this process (ticket cache or keytab).
};

/// "auto", "none", "basic", "digest", "ntlm", "negotiate".
std::string_view proxy_auth_name(ProxyAuth auth);
/// The way back; nullopt for any other word.
std::optional<ProxyAuth> proxy_auth_from_name(std::string_view name);

/// One proxy, spoken to in plain HTTP with CONNECT: what goes through it is TLS from end to end.
struct ProxySettings {
  std::string host;  ///< An IPv6 literal without its brackets.
  std::uint16_t port = 8080;
  ProxyAuth auth = ProxyAuth::Auto;
  std::string user;      ///< Empty: no login with a password. `DOMAIN\user` for NTLM.
  std::string password;  ///< Goes into no log and no message.
  /// With Auto, may the password be sent in the clear when the proxy offers nothing but Basic?
  bool auto_allows_basic = false;
  std::string source = "the configuration";  ///< Where it was set, for messages.

  std::string authority() const;  ///< `p.lan:3128`, `[fd00::1]:3128`.

  /// `http://[USER:PASSWORD@]HOST[:PORT]`, the scheme optional, the port 8080 when it is absent; user and
  /// password may hold %XX.
  /// @error ConfigInvalid; the text is not repeated, because it may hold a password.
  static Result<ProxySettings> parse(std::string_view text);
};

using Environment = std::function<std::optional<std::string>(const char* name)>;

/// The variables of this process.
std::optional<std::string> process_environment(const char* name);

/// `https_proxy` (or HTTPS_PROXY), unless the gateway is a loopback address or `no_proxy` (or NO_PROXY) names
/// it: a list of host names and domains separated by commas, `*` for all. A login that the variable holds may
/// be sent by any method, Basic included, as other programs do.
/// @return nullopt for the direct way.
/// @error as ProxySettings::parse().
Result<std::optional<ProxySettings>> proxy_for(const GatewayUrl& gateway, const Environment& environment);

}  // namespace culvert::cloud_api
