// From what was seen on the way to the gateway to what is wrong there. Pure: no clock, no socket.
#pragma once

#include <vector>

#include "tunnel-agent/doctor/finding.hpp"
#include "tunnel-agent/doctor/gateway_facts.hpp"

namespace culvert {

constexpr std::chrono::seconds kClockTolerance{60};

/// At most one finding about the way there (the first obstacle hides the others), and beside it one about
/// the clock.
std::vector<Finding> conclude_gateway(const GatewayFacts& facts);

}  // namespace culvert
