// From what was seen on the way to the gateway to what is wrong there. Pure: no clock, no socket.
#pragma once

#include <optional>
#include <vector>

#include "tunnel-agent/doctor/finding.hpp"
#include "tunnel-agent/doctor/gateway_facts.hpp"

namespace culvert {

constexpr std::chrono::seconds kClockTolerance{60};

/// What is left of the gateway's certificate when the doctor notes it, unless it never had much more.
constexpr certs::Lifetime kGatewayCertificateWarning = certs::days(14);

/// At most one obstacle on the way there (the first hides the others), and beside it one finding about the
/// clock; without an obstacle a note about the certificate, last.
std::vector<Finding> conclude_gateway(const GatewayFacts& facts);

/// The gateway's clock where it is the better one: where a gateway's own answer shows that this machine's is
/// wrong.
std::optional<certs::UtcTime> better_time(const GatewayFacts& facts);

}  // namespace culvert
