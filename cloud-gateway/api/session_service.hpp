// What the REST API needs of the live sessions. The data path implements it; control threads call it, so
// every method hands its work to the owning thread and waits for the answer.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "certs/site_identity.hpp"
#include "cloud-gateway/control/live_status.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert {

/// 16 random bytes an agent makes when it starts: tells a restart from a new lane.
using InstanceId = std::array<std::byte, 16>;

struct SessionRequest {
  InstanceId instance_id{};
  std::string agent_version;  ///< At most 64 bytes, for status and log.
  std::string host_name;      ///< At most 253 bytes, likewise.
  ByteCount replay_memory;    ///< What the agent keeps for unaccepted bytes: bounds our credit.
};

/// Where the lanes of a session should go when another node owns it.
struct LaneEndpoint {
  std::string address;  ///< `203.0.113.7:443`.
  std::string sni;
};

struct SessionGrant {
  SessionId id;
  std::array<std::byte, 32> secret{};
  std::chrono::milliseconds resume_deadline{};
  std::uint64_t lane_limit = 0;
  std::uint64_t stream_limit = 0;
  std::optional<LaneEndpoint> lane_endpoint;
};

/// One open stream, as its site may see it.
struct StreamSummary {
  StreamId id;
  std::string target;
  std::string source;  ///< Address and port of the source, as the agent told.
  WallTime opened_at;
  std::uint64_t sent_bytes = 0;      ///< To the source.
  std::uint64_t received_bytes = 0;  ///< From the source.
};

class SessionService {
 public:
  virtual ~SessionService() = default;

  /// Makes a session; an older one of the same site ends with SupersededInstance.
  /// @error ShuttingDown while draining, StreamLimitReached or MemoryLimitReached when the process is full.
  virtual Result<SessionGrant> create_session(const certs::SiteIdentity& identity,
                                              const SessionRequest& request) = 0;

  /// @error UnknownSession, also for a session of another site.
  virtual Result<void> delete_session(const certs::SiteIdentity& identity, SessionId session) = 0;

  /// At most `limit` streams of this site.
  virtual std::vector<StreamSummary> list_streams(const certs::SiteIdentity& identity, std::size_t limit) = 0;

  virtual LiveStatus live_status() = 0;

  /// True from SIGTERM on. Cheap: asked by every health call, which anybody may make.
  virtual bool draining() const = 0;

  /// Ends all sessions of a site that was removed or whose certificate was revoked. Harmless without a
  /// session.
  virtual void end_site(const certs::SiteIdentity& identity, Errc why) = 0;

  /// Puts the limits of the newest policy into force for streams that run.
  virtual void apply_policy() = 0;
};

}  // namespace culvert
