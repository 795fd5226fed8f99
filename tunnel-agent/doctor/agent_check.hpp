// What the running agent's own status says, and what the gateway says of this site.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tunnel-agent/doctor/finding.hpp"
#include "tunnel-agent/doctor/machine_check.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

struct ControlFact {
  bool asked = false;          ///< Only where the way to the gateway is clear.
  std::optional<Error> error;  ///< Nothing: the gateway knows this site.
  bool only_by_proof = false;  ///< It knows it by a signature: TLS with culvert/1 did not come about.
};

bool refuses_site(const ControlFact& control);
std::vector<Finding> conclude_control(const ControlFact& control);

/// @param looks  answers to `status`, over two seconds: what is stuck is so in the first, in the one in the
///               middle and in the last. Queues come and go within less, so there are more.
std::vector<Finding> conclude_status(const std::vector<nlohmann::json>& looks, const ControlFact& control);

/// @param answer  of the running agent to `firewall`. @param port  of its depot.
DepotFact depot_of(const Result<nlohmann::json>& answer, std::uint16_t port);

/// Why a busy session is not faster; at most one finding. Part of conclude_status().
std::vector<Finding> conclude_limit(const std::vector<nlohmann::json>& looks);

}  // namespace culvert
