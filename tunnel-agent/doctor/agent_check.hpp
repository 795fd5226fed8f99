// What the running agent's status and the gateway's REST API say, and what follows from both together.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tunnel-agent/doctor/finding.hpp"
#include "tunnel-core/base/error.hpp"

namespace culvert {

struct ControlFact {
  bool asked = false;          ///< Only where the way to the gateway is clear.
  std::optional<Error> error;  ///< Nothing: the gateway knows this site.
};

std::vector<Finding> conclude_control(const ControlFact& control);

/// @param before, now  two answers to `status`, about a second apart: what is stuck is the same in both.
std::vector<Finding> conclude_status(const nlohmann::json& before, const nlohmann::json& now,
                                     const ControlFact& control);

}  // namespace culvert
