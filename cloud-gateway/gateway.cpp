#include "cloud-gateway/gateway.hpp"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <system_error>
#include <thread>

#include "certs/verification.hpp"
#include "tunnel-core/daemon/common_config.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {

namespace {

/// Every agent would meet these and report them to people who cannot mend them.
void warn_about_certificate(const GatewayConfig& config, const certs::KeyAndChain& server,
                            const certs::Certificate& root) {
  const certs::Trust trust = config.trust == "system" ? certs::Trust{certs::SystemRoots{}}
                                                      : certs::Trust{certs::PinnedRoots{{root}}};
  if (auto verified = certs::verify_server(server.chain, trust, config.hostname, certs::utc_now()); !verified)
    spdlog::error("agents will refuse the server certificate {}: {}", config.certificate.string(),
                  verified.error().message());
}

}  // namespace

JoiningTerms joining_terms(const GatewayConfig& config, const certs::Certificate& root) {
  JoiningTerms terms;
  terms.gateway_url = config.gateway_url();
  terms.root_fingerprint = root.thumbprint();
  if (config.trust == "system") {
    terms.trust = certs::JoiningString::TrustKind::SystemRoots;
    terms.root_fingerprint = {};
  }
  return terms;
}

JoiningTerms Gateway::joining_terms() const {
  return culvert::joining_terms(config, sites_authority.root());
}

namespace {

/// Keys that this process never reads, such as the root's, and the store that decides who may what.
Result<void> require_private_files(const GatewayConfig& config) {
  std::error_code failed;
  for (std::filesystem::directory_iterator entry{config.authorities, failed}, end; !failed && entry != end;
       entry.increment(failed)) {
    if (entry->path().extension() != ".key") continue;
    if (auto fit = require_private(entry->path()); !fit) return fit;
  }
  if (!std::filesystem::exists(config.store, failed)) return {};  // Opening it has the better sentence.
  return require_private(config.store);
}

}  // namespace

Result<Gateway> open_gateway(const GatewayConfig& config) {
  auto lock = DataDirLock::acquire(config.data_dir, kDaemonLockPatience);
  if (!lock) return std::move(lock).error();
  if (auto fit = require_private_files(config); !fit) return std::move(fit).error();
  const auto advised = [](Error error) {
    if (error.code() != Errc::NotFound) return error;
    return Error{error.code(), error.message() + "; put it back from a backup of the gateway's directory"};
  };
  auto authority = certs::load_authority(config.authorities, certs::Purpose::Sites);
  if (!authority) return advised(std::move(authority).error());
  auto key = certs::load_key(config.key);
  if (!key) return advised(std::move(key).error());
  auto chain = certs::load_chain(config.certificate);
  if (!chain) return advised(std::move(chain).error());
  if (!chain->front().matches(*key))
    return Error{Errc::KeyInvalid, config.key.string() + " is not the key of " + config.certificate.string() +
                                       "; put the two that belong together there"};
  auto store = Store::open(config.store);
  if (!store) return std::move(store).error();

  Gateway gateway{config, std::move(*lock), std::move(*store), std::move(*authority),
                  certs::KeyAndChain{std::move(*key), std::move(*chain)}};
  gateway.config.limits = resolve_limits(config.limits, usable_memory(), std::thread::hardware_concurrency());
  if (auto loaded = gateway.policy->rebuild(gateway.store); !loaded) return std::move(loaded).error();
  warn_about_certificate(gateway.config, gateway.server, gateway.sites_authority.root());
  if (auto intact = gateway.store.verify_audit(); !intact) spdlog::error("{}", intact.error().message());
  return gateway;
}

}  // namespace culvert
