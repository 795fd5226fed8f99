// The provider's commands: orgs, targets, sites, joining strings, status. One class for the running daemon
// and for a command that works alone on the store; what only a daemon can do comes in through AdminHooks.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "certs/joining_string.hpp"
#include "cloud-gateway/control/live_status.hpp"
#include "cloud-gateway/store/store.hpp"
#include "tunnel-core/base/error.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/daemon/admin_socket.hpp"

namespace culvert {

/// Empty functions where no daemon runs.
struct AdminHooks {
  std::function<Result<void>()> on_change;  ///< Puts a change into force before the command is answered.
  std::function<void(const certs::SiteIdentity&, Errc)>
      end_site;  ///< Ends the sessions of a site that was removed.
  std::function<LiveStatus()> live_status;
};

/// For a command without an argument that it needs: names it as the command line's help does.
Error missing_argument(std::string command, std::string argument);

/// What goes into every joining string.
struct JoiningTerms {
  std::string gateway_url;  ///< `https://HOST[:PORT]`.
  certs::JoiningString::TrustKind trust = certs::JoiningString::TrustKind::RootFingerprint;
  certs::Sha256 root_fingerprint{};
  std::chrono::seconds validity = std::chrono::hours{24};
};

/// Commands and their arguments -> results (all lists sorted, times RFC 3339):
///   org.add {org}                 -> {org}
///   org.list                      -> {orgs: [{name, created_at, sites, targets}]}
///   org.remove {org}              -> {org, sites: [names that were removed with it]}
///   target.add {org, target, address}  -> {org, target, address}
///   target.list {org?}            -> {targets: [{org, name, address, address_permitted}]}
///   target.remove {org, target}   -> {org, target}
///   site.list {org?}              -> {sites: [{org, name, created_at, certificate_expires_at | null,
///   state}]} site.remove {org, site}       -> {org, site} join-token {org, site}        -> {joining_string,
///   org, site, gateway_url, expires_at}
///   limit.set {org, site?, target?, up?, down?, windows?, lanes?}, limit.remove {org, site?, target?,
///   windows?}
///                                 -> {org, site | null, target | null, lanes?, and to_json(BandwidthLimit)}
///   limit.list {org?}             -> {limits: [the same], lanes: [{org, lanes}], time_zone}
///   status                        -> status_json(), limits: [as limit.list, and limiting {up, down}]
/// @error UsageInvalid for an unknown command, a missing argument, a bad name or address; those of Store;
///        DaemonUnreachable for status without a daemon.
class AdminService {
 public:
  AdminService(Store& store, JoiningTerms terms, AdminHooks hooks,
               std::function<WallTime()> now = certs::utc_now);

  /// Blocks on the store; any thread.
  Result<nlohmann::json> execute(const AdminRequest& request);

 private:
  Result<nlohmann::json> add_org(const AdminRequest& request);
  Result<nlohmann::json> list_orgs();
  Result<nlohmann::json> remove_org(const AdminRequest& request);
  Result<nlohmann::json> add_target(const AdminRequest& request);
  Result<nlohmann::json> list_targets(const AdminRequest& request);
  Result<nlohmann::json> remove_target(const AdminRequest& request);
  Result<nlohmann::json> list_sites(const AdminRequest& request);
  Result<nlohmann::json> remove_site(const AdminRequest& request);
  Result<nlohmann::json> make_joining_string(const AdminRequest& request);
  Result<nlohmann::json> set_limit(const AdminRequest& request);
  Result<nlohmann::json> remove_limit(const AdminRequest& request);
  Result<nlohmann::json> list_limits(const AdminRequest& request);
  Result<nlohmann::json> status();

  Actor actor_of(const AdminRequest& request) const;
  /// Passes `result` on once the change it stands for is in force.
  Result<nlohmann::json> in_force(nlohmann::json result);
  void end_site(const std::string& org, const std::string& site);

  Store& store_;
  JoiningTerms terms_;
  AdminHooks hooks_;
  std::function<WallTime()> now_;
};

/// {version, listen, started_at, uptime_s, state: running|draining, orgs, sites, sessions: [{org, site, id,
/// state,
///  since, lanes, streams, sent_bytes, received_bytes}], streams: {open, opened_total, reset_total},
///  audit: {entries, intact, error?}}
nlohmann::json status_json(const LiveStatus& live, std::uint64_t orgs, std::uint64_t sites,
                           const Result<std::uint64_t>& audit, WallTime now);

}  // namespace culvert
