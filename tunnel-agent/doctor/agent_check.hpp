// What the running agent's own status says, and what the gateway says of this site and its targets.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "certs/utc_time.hpp"
#include "tunnel-agent/doctor/finding.hpp"
#include "tunnel-agent/doctor/gateway_facts.hpp"
#include "tunnel-agent/doctor/machine_check.hpp"
#include "tunnel-agent/forward.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

struct ControlFact {
  bool asked = false;          ///< Only where the way to the gateway is clear.
  std::optional<Error> error;  ///< Nothing: the gateway knows this site.
  bool only_by_proof = false;  ///< It knows it by a signature: TLS with culvert/1 did not come about.
  std::optional<PresentedCertificate> presented = {};    ///< By whoever ends TLS.
  std::optional<std::vector<std::string>> targets = {};  ///< That this site may reach; nothing: unknown.
};

bool refuses_site(const ControlFact& control);
std::vector<Finding> conclude_control(const ControlFact& control);

/// @param looks  answers to `status`, over two seconds: what is stuck is so in the first, in the one in the
///               middle and in the last. Queues come and go within less, so there are more.
std::vector<Finding> conclude_status(const std::vector<nlohmann::json>& looks, const ControlFact& control);

/// A forward and what it leads to.
struct TargetFact {
  std::string forward;
  std::string target;                ///< Empty: not known.
  nlohmann::json trouble = nullptr;  ///< `target_trouble` of the status; null: none, or no agent runs.
};
/// Of a running agent the forwards that it has, else those of `files`.
/// @param looks  answers to `status`; empty where no agent runs or it does not answer.
std::vector<TargetFact> targets_of(const std::vector<ForwardFile>& files,
                                   const std::vector<nlohmann::json>& looks);

/// How long what a stream met at its target is taken for the present.
constexpr std::chrono::minutes kTargetNews{10};

/// @param allowed  the targets of this site; nothing: unknown. @param now  of this machine, as the status has
///                 it.
std::vector<Finding> conclude_targets(const std::vector<TargetFact>& targets,
                                      const std::optional<std::vector<std::string>>& allowed,
                                      certs::UtcTime now);

/// @param answer  of the running agent to `firewall`. @param port  of its depot.
DepotFact depot_of(const Result<nlohmann::json>& answer, std::uint16_t port);

/// Why a busy session is not faster; at most one finding. Part of conclude_status().
std::vector<Finding> conclude_limit(const std::vector<nlohmann::json>& looks);

}  // namespace culvert
