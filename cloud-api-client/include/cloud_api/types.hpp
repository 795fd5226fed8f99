// What the REST API of the gateway says and is told, as types (docs/rest-api.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert::cloud_api {

/// GET /tunnel/v1/health.
struct Health {
  std::string status;   ///< "ok" or "draining".
  std::string version;  ///< Of the gateway.
  std::vector<unsigned> protocols;
  std::string time;  ///< The gateway's clock, RFC 3339 in UTC.
};

/// The reply to POST /tunnel/v1/enrolments.
struct Enrolment {
  std::string org;
  std::string site;
  std::string certificate_pem;  ///< Leaf, then issuing CA.
  std::string trust_pem;        ///< The root or roots to pin.
  std::string gateway_url;
  std::string expires_at;  ///< Of the certificate, RFC 3339.
};

/// GET /tunnel/v1/site.
struct SiteInfo {
  std::string org;
  std::string site;
  std::string certificate_expires_at;
  std::string gateway_version;
  std::string time;
};

/// One entry of GET and PUT /tunnel/v1/forwards.
struct ReportedForward {
  std::string name;
  std::uint16_t port = 0;
  std::string state;  ///< "listening", "closed" or "failed".
  std::string error;  ///< Empty unless failed.

  friend bool operator==(const ReportedForward&, const ReportedForward&) = default;
};

/// One entry of GET /tunnel/v1/streams.
struct StreamInfo {
  std::string id;
  std::string target;
  std::string source;  ///< "192.0.2.7:40112", as the agent saw it.
  std::string opened_at;
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
};

/// The body of POST /tunnel/v1/sessions.
struct SessionRequest {
  Bytes instance_id;  ///< 16 random bytes made at process start.
  std::string agent_version;
  std::string host_name;
  ByteCount replay_memory;  ///< What the agent may keep for resending.
};

/// The gateway node that owns the session; the name verified stays that of the gateway's URL.
struct LaneEndpoint {
  std::string address;  ///< "203.0.113.7:443" or "[2001:db8::7]:443".
  std::string sni;
};

/// The reply to POST /tunnel/v1/sessions. The secret goes into no log.
struct SessionGrant {
  SessionId id;
  Bytes secret;              ///< 32 bytes.
  Duration resume_deadline;  ///< How long the session waits without a lane; 1 s to 24 h.
  std::uint32_t lane_limit = 1;
  std::uint32_t stream_limit = 1;
  std::optional<LaneEndpoint> lane_endpoint;
};

}  // namespace culvert::cloud_api
