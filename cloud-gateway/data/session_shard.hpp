// The sessions of one data thread. call() is how other threads reach them: a value in, a value out.
#pragma once

#include <boost/asio/post.hpp>
#include <future>
#include <map>
#include <memory>

#include "cloud-gateway/data/gateway_session.hpp"

namespace culvert {

class SessionShard {
 public:
  explicit SessionShard(SessionSurroundings surroundings)
      : surroundings_(surroundings),
        limits_(surroundings.thread, surroundings.policy, surroundings.buckets) {}

  DataThread& thread() { return surroundings_.thread; }

  /// Runs `work(SessionShard&)` on the shard's thread and waits for what it returns. Never from that thread
  /// itself.
  template <class Work>
  auto call(Work work) {
    std::packaged_task<std::invoke_result_t<Work, SessionShard&>()> task{
        [this, work = std::move(work)]() mutable { return work(*this); }};
    auto result = task.get_future();
    boost::asio::post(surroundings_.thread.io(), std::move(task));
    return result.get();
  }

  // On the shard's thread.
  void add(SessionId id, const certs::SiteIdentity& identity, const SessionConfig& config,
           GatewaySession::Ended ended);
  GatewaySession* find(SessionId id);
  /// Ends it with a word to the agent and forgets it once that has left, a second later at most.
  void end(SessionId id, Errc reason, const std::string& text);
  /// Forgets a session that has ended by itself, after the call that told so.
  void remove(SessionId id);

  const std::map<SessionId, std::unique_ptr<GatewaySession>>& sessions() const { return sessions_; }

  struct StreamTotals {
    std::uint64_t opened = 0;
    std::uint64_t reset = 0;
  };
  /// Of all sessions since the start, ended ones as well: they never fall.
  StreamTotals stream_totals() const;
  LimitBook& limits() { return limits_; }

 private:
  void remove_later(SessionId id, Duration delay);
  void forget(SessionId id);

  SessionSurroundings surroundings_;
  LimitBook limits_;
  std::map<SessionId, std::unique_ptr<GatewaySession>> sessions_;
  StreamTotals of_forgotten_;  ///< What the sessions had that are in sessions_ no more.
};

}  // namespace culvert
