// Looks at the way to the gateway: name, every address, TLS without believing anybody, GET health. Says
// nothing secret to the other end: no client certificate, no identity.
#pragma once

#include "certs/verification.hpp"
#include "cloud-api-client/include/cloud_api/proxy_connector.hpp"
#include "tunnel-agent/doctor/gateway_facts.hpp"
#include "tunnel-core/base/time.hpp"

namespace culvert {

/// Blocks for at most 9 s: 2.5 s for the name, 2 s for TCP (together 4 s by way of a proxy), 1.5 s for TLS
/// and its answer; where TLS failed, 2 s for small segments and 2 s for plain HTTP.
/// @param proxy  null: the direct way.
GatewayFacts probe_gateway(const std::string& host, std::uint16_t port, const certs::Trust& trust,
                           cloud_api::ProxyConnector* proxy);

}  // namespace culvert
