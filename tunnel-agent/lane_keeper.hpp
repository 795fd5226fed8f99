// Keeps the lanes of one session: takes the session back after a cut, adds lanes that pay and gives back
// those that do not. Of one data thread.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <string>

#include "cloud-api-client/include/cloud_api/gateway_url.hpp"
#include "cloud-api-client/include/cloud_api/types.hpp"
#include "tunnel-agent/lane_dialer.hpp"
#include "tunnel-agent/lane_plan.hpp"
#include "tunnel-agent/retry_pace.hpp"
#include "tunnel-core/net/session_driver.hpp"
#include "tunnel-core/net/task_group.hpp"

namespace culvert {

struct LaneKeeperConfig {
  cloud_api::GatewayUrl gateway;
  ByteCount replay_memory;
  std::size_t most_lanes = kMaxLanes;  ///< This side's ceiling; the gateway tells its own.
};

class LaneKeeper {
 public:
  /// Told of every dial that failed for a reason that a person may have to see to.
  using FailureHandler = std::function<void(const Error&)>;

  /// @param thread, route  outlive the keeper, as `on_failure` does.
  LaneKeeper(LaneKeeperConfig config, DataThread& thread, LaneRoute& route, FailureHandler on_failure,
             TaskGroup::FailureHandler on_bug);

  /// Until stop(), or until the gateway says that the session is over: UnknownSession, AccessRevoked.
  boost::asio::awaitable<Result<void>> run(SessionDriver& driver, const cloud_api::SessionGrant& grant);
  void stop();
  /// A lane came, went, or a source waits for one: look again now.
  void hurry() { wake_.cancel(); }

 private:
  struct Outage {
    std::uint32_t epoch;
    Instant next_dial;
    std::optional<std::uint32_t> worn_epoch;  ///< Of lanes whose packets were lost.
    std::optional<Instant> back_since;        ///< Those lanes.
  };

  Duration recover(Instant now);
  Duration adjust(Instant now);
  bool is_down(Instant now) const;
  bool line_lost_packets() const;
  bool has_worn_lanes(Instant now) const;
  bool wants(std::uint32_t epoch) const;
  void begin_dials();
  void dial(std::uint32_t epoch);
  boost::asio::awaitable<void> run_dial(std::uint64_t generation, std::uint64_t series, LaneDial dial,
                                        std::optional<LaneDial> nearer);
  Result<void> add_lane(const LaneDial& dial, DialedLane lane);
  void handle_failure(const LaneDial& dial, const Error& error);
  void give_back(std::size_t surplus);

  const LaneKeeperConfig config_;
  DataThread& thread_;
  LaneRoute& route_;
  const FailureHandler on_failure_;

  // Of the session that run() keeps.
  std::uint64_t generation_ = 0;  ///< Dials of an older one find nobody who wants them.
  SessionDriver* driver_ = nullptr;
  const cloud_api::SessionGrant* grant_ = nullptr;
  std::optional<LanePlan> plan_;
  std::optional<Error> session_end_;
  std::optional<Outage> outage_;   ///< While no lane is up, none answers, or worn ones are replaced.
  std::uint32_t next_number_ = 1;  ///< Of a lane; never used twice, whatever the epoch.
  std::uint32_t last_epoch_ = 0;   ///< The highest one that was ever dialled with.
  std::uint64_t series_ = 0;       ///< Of dials: those of an outage, or those since.
  std::size_t pending_ = 0;        ///< Dials of the present series.
  std::size_t wanted_ = 1;         ///< Lanes, when last looked at.
  Instant next_extra_{};           ///< When lanes beside the first may be dialled again.
  Duration extra_pause_{};
  Instant up_since_{};
  bool was_up_ = false;  ///< This session.
  bool stopped_ = false;

  RetryPace pace_;
  boost::asio::steady_timer wake_;
  TaskGroup dials_;
};

}  // namespace culvert
