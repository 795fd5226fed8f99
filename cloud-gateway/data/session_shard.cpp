#include "cloud-gateway/data/session_shard.hpp"

#include <boost/asio/steady_timer.hpp>

namespace culvert {
namespace {

constexpr Duration kFarewell = 1s;  ///< For SESSION_END to leave before its lanes are closed.

void add_to(SessionShard::StreamTotals& totals, GatewaySession& session) {
  const SessionStats stats = session.driver().session().stats();
  totals.opened += stats.opened_total;
  totals.reset += stats.reset_total;
}

}  // namespace

void SessionShard::add(SessionId id, const certs::SiteIdentity& identity, const SessionConfig& config,
                       GatewaySession::Ended ended) {
  sessions_.emplace(
      id, std::make_unique<GatewaySession>(surroundings_, limits_, id, identity, config, std::move(ended)));
}

GatewaySession* SessionShard::find(SessionId id) {
  const auto at = sessions_.find(id);
  return at == sessions_.end() ? nullptr : at->second.get();
}

void SessionShard::end(SessionId id, Errc reason, const std::string& text) {
  GatewaySession* const session = find(id);
  if (session == nullptr) return;
  session->end(reason, text);
  remove_later(id, kFarewell);
}

void SessionShard::remove(SessionId id) {
  remove_later(id, kFarewell);
}

void SessionShard::remove_later(SessionId id, Duration delay) {
  auto timer = std::make_shared<boost::asio::steady_timer>(surroundings_.thread.io());
  timer->expires_after(std::chrono::duration_cast<boost::asio::steady_timer::duration>(delay));
  // The handler owns the timer; the shard outlives its thread's loop.
  timer->async_wait([this, id, timer](const error_code&) { forget(id); });
}

void SessionShard::forget(SessionId id) {
  const auto at = sessions_.find(id);
  if (at == sessions_.end()) return;  // It ended by itself and was told to end: two timers.
  add_to(of_forgotten_, *at->second);
  sessions_.erase(at);
}

SessionShard::StreamTotals SessionShard::stream_totals() const {
  StreamTotals totals = of_forgotten_;
  for (const auto& [id, session] : sessions_) add_to(totals, *session);
  return totals;
}

}  // namespace culvert
