// How a probe gets to the gateway once more: to the address that answered, or by the proxy.
#pragma once

#include <optional>

#include "cloud-api-client/include/cloud_api/proxy_connector.hpp"
#include "tunnel-agent/doctor/probe_address.hpp"

namespace culvert {

/// Passes every path on which IPv4 works (RFC 879).
constexpr int kSmallSegment = 536;

struct ProbeWay {
  std::string host;
  std::uint16_t port = 443;
  std::optional<ProbeAddress> address;         ///< Nothing: by the proxy.
  cloud_api::ProxyConnector* proxy = nullptr;  ///< Outlives the way.

  /// @param max_segment  as start_connect(); without meaning by way of a proxy.
  /// @return nothing when there is no connection until the deadline.
  UniqueFd dial(Instant deadline, int max_segment = 0) const;
};

}  // namespace culvert
