// One session at the gateway: authorises every OPEN, dials, logs. Of one data thread.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <unordered_map>

#include "certs/site_identity.hpp"
#include "cloud-gateway/api/session_service.hpp"
#include "cloud-gateway/control/policy.hpp"
#include "cloud-gateway/data/limit_book.hpp"
#include "cloud-gateway/data/target_dialer.hpp"
#include "tunnel-core/net/session_driver.hpp"
#include "tunnel-core/obs/log_context.hpp"
#include "tunnel-core/obs/log_ration.hpp"

namespace culvert {

/// What all sessions share. Everything outlives them.
struct SessionSurroundings {
  DataThread& thread;
  ProcessMemory& memory;
  PolicyHub& policy;
  DialBudget& dials;
  SharedBuckets& buckets;
  std::size_t dials_per_session = 20000;
  Duration dial_timeout = 20s;
  std::uint64_t lanes_per_session = kMaxLanes;
};

class GatewaySession final : public SessionObserver {
 public:
  /// Called once, when the session has ended by itself; the session is destroyed afterwards, not inside.
  using Ended = std::function<void(SessionId)>;

  /// @param limits  outlives the session.
  GatewaySession(SessionSurroundings surroundings, LimitBook& limits, SessionId id,
                 certs::SiteIdentity identity, const SessionConfig& config, Ended ended);

  const certs::SiteIdentity& identity() const { return identity_; }
  SessionDriver& driver() { return driver_; }

  /// Tells the agent why, and resets every stream. `ended` is not called.
  void end(Errc reason, const std::string& text);

  /// How many lanes it may have, by the policy of this moment.
  std::uint64_t lane_ceiling();

  LiveSession live() const;
  std::vector<StreamSummary> streams(std::size_t most) const;
  bool idle() const { return driver_.session().stats().streams == 0; }

 private:
  void handle_offered(StreamId id, const OpenInfo& info) override;
  void handle_opened(StreamId, const OpenInfo&) override {}  // Only the agent opens streams so far.
  void handle_reset(StreamId id, const OpenInfo& info, Errc reason, const std::string& text) override;
  void handle_lane_up(LaneId id) override;
  void handle_lane_down(LaneId id, const Error& reason, std::size_t left) override;
  void handle_lane_closed(LaneId id, std::size_t left) override;
  void handle_peer_draining() override;
  void handle_ended(Errc reason, const std::string& text) override;

  void refuse(StreamId id, const OpenInfo& info, const Error& error);
  LogContext stream_context(StreamId id) const;

  void refresh_policy();

  SessionSurroundings surroundings_;
  LimitBook& limits_;
  const SessionId id_;
  const certs::SiteIdentity identity_;
  const LogContext context_;
  // By reason. A site must not be able to push everybody else's lines out of the log.
  std::map<Errc, LogRation> refusals_;
  std::map<Errc, LogRation> resets_;
  const std::chrono::system_clock::time_point created_;
  Ended ended_;
  TargetDialer dialer_;
  std::shared_ptr<const PolicySnapshot>
      policy_;  ///< Shared with the hub; renewed when its version has changed.
  SessionDriver driver_;
};

}  // namespace culvert
