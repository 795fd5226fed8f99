// A way through an HTTP proxy: CONNECT, with whatever login the proxy demands. What comes out is a plain
// connected socket, on which the caller speaks TLS with the gateway.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cloud-api-client/include/cloud_api/proxy.hpp"
#include "cloud-api-client/include/cloud_api/wake.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert::cloud_api {

/// One proxy, shared by all who go through it: they share what was learnt about its login. Thread-safe.
class ProxyConnector {
 public:
  explicit ProxyConnector(ProxySettings settings);

  /// Blocks until the proxy has opened the way, refused it, or the time is over.
  /// @param host  the gateway, as the proxy is to resolve it; an IPv6 literal without brackets.
  /// @return a non-blocking socket on which nothing has been sent or received beyond CONNECT.
  /// @error ProxyUnauthorized (407; names what the proxy offers and what to set), ProxyRefused (it forbids
  /// the
  ///        gateway), NameUnresolved, ConnectionRefused, Unreachable (the proxy, or the gateway from there),
  ///        TimedOut, Cancelled.
  /// A password that was refused is not tried again for kLoginPause: directories lock accounts.
  Result<UniqueFd> connect(const std::string& host, std::uint16_t port, Instant deadline,
                           const Wake& cancelled);

  const ProxySettings& settings() const { return settings_; }

  static constexpr Duration kLoginPause = 60s;

 private:
  std::optional<Error> recently_refused() const;
  ProxyAuth first_method() const;
  std::optional<ProxyAuth> best_of(const std::vector<std::string>& offered) const;
  void remember(ProxyAuth method);
  Error login_refused(ProxyAuth used, const std::vector<std::string>& offered);

  const ProxySettings settings_;
  mutable std::mutex mutex_;
  std::optional<ProxyAuth> worked_;  ///< With Auto: what the last way was opened with.
  std::optional<Error> refusal_;     ///< Of a login with a password, in force until refused_until_.
  Instant refused_until_{};
};

}  // namespace culvert::cloud_api
