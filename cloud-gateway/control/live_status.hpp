// What only the running daemon knows, as values: filled by its data threads, shown by `status` and the REST
// API.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "certs/site_identity.hpp"
#include "cloud-gateway/store/records.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert {

struct LiveSession {
  certs::SiteIdentity identity;
  SessionId id;
  std::string state;  ///< `up`: has a lane; `stalled`: waits for one.
  WallTime since;     ///< When the session was made.
  std::uint64_t lanes = 0;
  std::uint64_t streams = 0;
  std::uint64_t sent_bytes = 0;      ///< To the agent.
  std::uint64_t received_bytes = 0;  ///< From the agent.
  std::string limited_by;            ///< Of what goes to the agent: limit_name().
};

/// A bandwidth limit that held back a stream within the last second.
struct LiveLimit {
  LimitScope scope;
  bool up = false;
  bool down = false;
};

struct LiveStatus {
  std::vector<std::string> listen;  ///< The addresses that are open: `0.0.0.0:443`.
  WallTime started_at;
  bool draining = false;
  std::vector<LiveSession> sessions;
  std::vector<LiveLimit> limiting;  ///< One for each thread; several of one scope add up.
  std::uint64_t streams_opened_total = 0;
  std::uint64_t streams_reset_total = 0;
};

}  // namespace culvert
