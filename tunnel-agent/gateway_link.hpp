// The agent's side of the session with its gateway: asks for it, has its lanes kept up, and turns accepted
// sources into streams. Of one data thread.
//
//   no session ── POST sessions ──> session ── dial lane ──> up ── all lanes lost ──> stalled ── dial ──> up
//        ^                                                         (streams wait, nothing is lost)      │
//        └───────────── the gateway no longer knows it, or it ended: streams are reset ─────────────────┘
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "cloud-api-client/include/cloud_api/client.hpp"
#include "cloud-api-client/include/cloud_api/gateway_url.hpp"
#include "tunnel-agent/forward_table.hpp"
#include "tunnel-agent/lane_keeper.hpp"
#include "tunnel-agent/limit_table.hpp"
#include "tunnel-agent/status.hpp"
#include "tunnel-agent/stream_sink.hpp"
#include "tunnel-core/net/session_driver.hpp"
#include "tunnel-core/net/task_group.hpp"

namespace culvert {

struct LinkConfig {
  cloud_api::GatewayUrl gateway;
  std::string gateway_url;
  ByteCount session_memory;
  Duration open_timeout = 30s;
  std::size_t most_lanes = kMaxLanes;
  /// Asked when the gateway gives no session: the site's own certificate may have ended while the agent runs.
  std::function<Result<void>()> check_identity{};
};

class GatewayLink final : public SessionObserver, public StreamSink {
 public:
  /// @param client  used on `control` only. Everything outlives the link.
  GatewayLink(LinkConfig config, DataThread& thread, ProcessMemory& memory, LimitTable& limits,
              boost::asio::thread_pool& control, cloud_api::Client& client, LaneRoute& route);

  /// Told of session and targets, for close_when_down. Set before start().
  void set_forwards(ForwardTable& forwards) { forwards_ = &forwards; }
  void start();
  /// No new streams; `done` is called when none is left or the time is over, and the gateway has been told.
  void drain(Duration timeout, std::function<void()> done);
  /// Ends what still runs at once. After drain(), for the second signal.
  void hurry();

  /// Session, lanes, totals and backlog; the forwards' part is the caller's.
  AgentStatus status(bool with_streams) const;
  /// Open streams to a target.
  std::size_t streams_to(const std::string& target) const;

  void accept(int fd, const Forward& forward, SourceAddress source) override;

 private:
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<bool> obtain_session();
  boost::asio::awaitable<void> pause();
  void new_driver();
  void set_state(SessionState state, std::string error);
  void note_failure(const Error& error);
  void handle_session_end(const Error& error);
  void replace_session();
  void check_drained();
  void finish_drain();

  void handle_offered(StreamId id, const OpenInfo& info) override;
  void handle_opened(StreamId id, const OpenInfo& info) override;
  void handle_reset(StreamId id, const OpenInfo& info, Errc reason, const std::string& text) override;
  void handle_lane_up(LaneId id) override;
  void handle_lane_down(LaneId id, const Error& reason, std::size_t left) override;
  void handle_lane_closed(LaneId id, std::size_t left) override;
  void handle_peer_draining() override;
  void handle_ended(Errc reason, const std::string& text) override;

  const LinkConfig config_;
  DataThread& thread_;
  ProcessMemory& memory_;
  LimitTable& limits_;
  boost::asio::thread_pool& control_;
  cloud_api::Client& client_;
  const LaneRoute& route_;
  const Bytes instance_id_;
  ForwardTable* forwards_ = nullptr;

  std::unique_ptr<SessionDriver> driver_;
  std::optional<cloud_api::SessionGrant> grant_;
  bool replace_ = false;   ///< The session has ended; run() makes a new one.
  bool yielding_ = false;  ///< Another agent has taken the session over: it is let be for a while.
  std::optional<SessionEnd> last_end_;

  SessionState state_ = SessionState::Connecting;
  std::string since_;
  std::string error_;
  std::set<Errc> logged_;            ///< Kinds of trouble told since the last lane.
  std::uint64_t opened_before_ = 0;  ///< Of sessions that have ended.
  std::uint64_t reset_before_ = 0;

  RetryPace pace_;
  LaneKeeper keeper_;
  boost::asio::steady_timer pause_timer_;
  boost::asio::steady_timer drain_timer_;
  Instant drain_until_{};
  std::function<void()> drained_;
  bool draining_ = false;
  TaskGroup tasks_;
};

}  // namespace culvert
