// `culvert-agent doctor`: looks at machine, way to the gateway and running agent at the same time, and
// concludes.
#pragma once

#include <functional>
#include <string_view>

#include "tunnel-agent/config.hpp"
#include "tunnel-agent/doctor/finding.hpp"

namespace culvert {

/// Blocks for at most 10 s. Changes nothing; without a running agent the ports of forwards are open for a
/// moment.
/// @param progress  one line each, from several threads but never at the same time.
/// @error ConfigInvalid: gateway_url or proxy cannot be used; as open_proxy().
Result<DoctorReport> run_doctor(const AgentConfig& config,
                                const std::function<void(std::string_view)>& progress);

}  // namespace culvert
