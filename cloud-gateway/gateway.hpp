// A gateway whose data directory has been opened and checked, and the call that runs it. Opening is here;
// running (listeners, lanes, streams) belongs to cloud-gateway/edge.
#pragma once

#include <memory>
#include <vector>

#include "certs/key_store.hpp"
#include "cloud-gateway/config.hpp"
#include "cloud-gateway/control/admin_service.hpp"
#include "cloud-gateway/control/policy.hpp"
#include "cloud-gateway/store/store.hpp"
#include "tunnel-core/daemon/data_dir.hpp"

namespace culvert {

struct Gateway {
  GatewayConfig config;  ///< Limits are resolved: no 0 left in them.
  DataDirLock lock;      ///< Held as long as the process may write.
  Store store;
  certs::Authority sites_authority;  ///< Its root() is what site certificates must lead to.
  certs::KeyAndChain server;         ///< What the TLS front presents.
  /// Filled once. Behind a pointer because a mutex does not move; owned here alone.
  std::unique_ptr<PolicyHub> policy = std::make_unique<PolicyHub>();

  JoiningTerms joining_terms() const;
};

/// Takes DIR/lock, opens the store, loads certificates and policy. Says in the log what will keep agents
/// away: a server certificate that is expired or of another name, an audit log that was tampered with.
/// @error InUse (another culvert-gateway or command works on it), NotFound, FileUnsafe, KeyInvalid,
///        CertificateInvalid, those of Store.
Result<Gateway> open_gateway(const GatewayConfig& config);

/// What the sites' joining strings say; `root` is pinned unless the configuration trusts the system's roots.
JoiningTerms joining_terms(const GatewayConfig& config, const certs::Certificate& root);

/// Serves until SIGTERM or SIGINT, then drains. Prints the `ready` line once its listeners are open.
/// @error PortInUse and whatever else keeps it from serving.
Result<void> run_gateway(Gateway& gateway);

}  // namespace culvert
