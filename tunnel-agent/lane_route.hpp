// How lanes get from here to the gateway, shared by all dials of one agent: identity, proxy, the threads on
// which a proxy is talked to, and what was learnt about the way. Knows no session. Of the data thread, where
// nothing else is said.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "certs/key_store.hpp"
#include "cloud-api-client/include/cloud_api/identity_memory.hpp"
#include "cloud-api-client/include/cloud_api/proxy_connector.hpp"
#include "tunnel-agent/lane_upgrade.hpp"
#include "tunnel-core/net/host_lookup.hpp"
#include "tunnel-core/net/tls_context.hpp"

namespace culvert {

/// What stood in the way of a lane, as far as another way may lead around it.
enum class Obstacle {
  None,       ///< Or nothing that another way would change.
  Handshake,  ///< TLS with `culvert/1` did not come about.
  Upgrade,    ///< HTTP refused the carrier.
};

struct LaneRouteConfig {
  TlsContext tls;        ///< With the site's certificate, ALPN `culvert/1`.
  TlsContext proof_tls;  ///< Without a certificate, ALPN `http/1.1`.
  certs::KeyAndChain site;
  std::shared_ptr<cloud_api::ProxyConnector> proxy;     ///< Null for the direct way. Shared with the client.
  std::shared_ptr<cloud_api::IdentityMemory> identity;  ///< Shared with the client of the REST API.
  std::optional<Carrier> carrier;                       ///< Nothing: culvert, or what gets through.
};

class LaneRoute {
 public:
  explicit LaneRoute(LaneRouteConfig config);
  LaneRoute(const LaneRoute&) = delete;
  LaneRoute& operator=(const LaneRoute&) = delete;
  ~LaneRoute();

  bool by_proxy() const { return config_.proxy != nullptr; }
  /// HOST:PORT; empty for the direct way.
  std::string proxy_name() const { return by_proxy() ? config_.proxy->settings().authority() : ""; }
  const TlsContext& tls(const LaneWay& way) const;
  /// The header of docs/protocol.md §3.5 for a connection that stands; empty where a certificate does.
  std::string site_proof(const LaneWay& way, const TlsEngine& engine) const;
  /// Is there another way to prove the identity, so that a silent handshake should not take all the time?
  bool may_change_identity(const LaneWay& way) const;

  /// The way to try first: what the configuration says, or what worked.
  LaneWay way() const;
  /// Another one, after `obstacle` on `way`.
  std::optional<LaneWay> around(const LaneWay& way, Obstacle obstacle);
  void worked(const LaneWay& way);
  /// `obstacle` on a way that was learnt: the next dial begins from the start.
  void forget(const LaneWay& way, Obstacle obstacle);

  /// Where `host` is. A name server that does not answer soon is not waited for where the addresses of a
  /// moment ago are known: an outage often takes it along. Waits `patience` at most.
  /// @error NameUnresolved.
  boost::asio::awaitable<Result<HostLookup::Addresses>> addresses_of(std::string host, Duration patience);
  /// A connection to the gateway through the proxy, for a coroutine of any thread.
  /// @error those of ProxyConnector::connect().
  boost::asio::awaitable<Result<UniqueFd>> connect_by_proxy(std::string host, std::uint16_t port,
                                                            Duration timeout);
  /// Dials that run end with Cancelled; returns when none is left. Before the dialling thread's io_context
  /// goes.
  void stop();

 private:
  struct Place {
    std::shared_ptr<HostLookup> lookup;  ///< The latest; shared with its thread and with dials that wait.
    HostLookup::Addresses known;
  };

  const LaneRouteConfig config_;
  Carrier learnt_ = Carrier::Culvert;
  Instant learnt_until_{};
  std::map<std::string, Place> places_;  ///< By name: the gateway, and the node that owns the session.
  cloud_api::Wake stopped_;
  /// Logins take several round trips and Kerberos calls of its own; lanes are dialled several at once.
  std::unique_ptr<boost::asio::thread_pool> threads_;
};

}  // namespace culvert
