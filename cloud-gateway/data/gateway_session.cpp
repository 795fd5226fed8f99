#include "cloud-gateway/data/gateway_session.hpp"

#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

WallTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace

GatewaySession::GatewaySession(SessionSurroundings surroundings, LimitBook& limits, SessionId id,
                               certs::SiteIdentity identity, const SessionConfig& config, Ended ended)
    : surroundings_(surroundings),
      limits_(limits),
      id_(id),
      identity_(std::move(identity)),
      context_{identity_.org, identity_.site, id.value, {}, {}},
      created_(std::chrono::system_clock::now()),
      ended_(std::move(ended)),
      dialer_(surroundings.thread.io(), surroundings.dials, surroundings.dials_per_session,
              surroundings.dial_timeout),
      policy_(surroundings.policy.current()),
      driver_(surroundings.thread, surroundings.memory, config, *this) {
  spdlog::info("{}session opened", context_);
}

LogContext GatewaySession::stream_context(StreamId id) const {
  LogContext context = context_;
  context.stream = id.value;
  return context;
}

void GatewaySession::refresh_policy() {
  if (policy_->version() != surroundings_.policy.version()) policy_ = surroundings_.policy.current();
}

std::uint64_t GatewaySession::lane_ceiling() {
  refresh_policy();
  return policy_->lanes_of(identity_.org, surroundings_.lanes_per_session);
}

/// Policy as it is at this moment, for every single stream (docs/protocol.md §6.2).
void GatewaySession::handle_offered(StreamId id, const OpenInfo& info) {
  refresh_policy();
  auto target = policy_->authorise_open(identity_, info.target);
  if (!target) return refuse(id, info, target.error());
  dialer_.dial(*target, [this, id, info](Result<TargetDialer::Socket> socket) {
    if (driver_.session().open_info(id) == nullptr) return;  // Reset meanwhile.
    if (!socket) return refuse(id, info, socket.error());
    spdlog::debug("{}stream opened target={} source={}", stream_context(id), info.target, info.source);
    driver_.accept(id, std::move(*socket), &limits_.of_streams(identity_, info.target));
  });
}

void GatewaySession::refuse(StreamId id, const OpenInfo& info, const Error& error) {
  if (const auto left_out = refusals_[error.code()].admit(std::chrono::steady_clock::now())) {
    spdlog::warn("{}stream refused target={} source={} reason={}: {}{}", stream_context(id), info.target,
                 info.source, errc_name(error.code()), error.message(), *left_out);
  }
  driver_.refuse(id, error.code(), error.message());
}

void GatewaySession::handle_reset(StreamId id, const OpenInfo& info, Errc reason, const std::string& text) {
  if (const auto left_out = resets_[reason].admit(std::chrono::steady_clock::now())) {
    spdlog::info("{}stream reset target={} source={} reason={}: {}{}", stream_context(id), info.target,
                 info.source, errc_name(reason), text, *left_out);
  }
}

void GatewaySession::handle_lane_up(LaneId id) {
  LogContext context = context_;
  context.lane = id.value;
  spdlog::info("{}lane up lanes={}", context, driver_.session().lane_count());
}

void GatewaySession::handle_lane_down(LaneId id, const Error& reason, std::size_t left) {
  LogContext context = context_;
  context.lane = id.value;
  const std::size_t streams = driver_.session().stats().streams;
  spdlog::info("{}lane down lanes={} streams_waiting={} reason={}: {}", context, left,
               left == 0 ? streams : 0, errc_name(reason.code()), reason.message());
}

void GatewaySession::handle_lane_closed(LaneId id, std::size_t left) {
  LogContext context = context_;
  context.lane = id.value;
  spdlog::info("{}lane given back lanes={}", context, left);
}

void GatewaySession::handle_peer_draining() {
  spdlog::info("{}agent is draining", context_);
}

void GatewaySession::handle_ended(Errc reason, const std::string& text) {
  const auto level = reason == Errc::SessionClosed || reason == Errc::ShuttingDown ? spdlog::level::info
                                                                                   : spdlog::level::warn;
  spdlog::log(level, "{}session ended reason={}: {}", context_, errc_name(reason), text);
  ended_(id_);
}

void GatewaySession::end(Errc reason, const std::string& text) {
  spdlog::info("{}session ended reason={}: {}", context_, errc_name(reason), text);
  driver_.end(reason, text);
}

LiveSession GatewaySession::live() const {
  LiveSession live;
  live.identity = identity_;
  live.id = id_;
  const auto lanes = driver_.session().lane_stats(surroundings_.thread.clock().now());
  live.state = lanes.empty() ? "stalled" : "up";
  live.since = std::chrono::floor<std::chrono::seconds>(created_);
  live.lanes = lanes.size();
  live.streams = driver_.session().stats().streams;
  live.limited_by = limit_name(driver_.limit());
  for (const LaneStats& lane : lanes) {
    live.sent_bytes += lane.sent_bytes;
    live.received_bytes += lane.received_bytes;
  }
  return live;
}

std::vector<StreamSummary> GatewaySession::streams(std::size_t most) const {
  std::vector<StreamSummary> all;
  for (const StreamStats& stream : driver_.session().stream_stats(most)) {
    const auto age = surroundings_.thread.clock().now() - stream.opened_at;
    all.push_back({stream.id, stream.target, stream.source,
                   wall_now() - std::chrono::floor<std::chrono::seconds>(age), stream.sent_bytes,
                   stream.received_bytes});
  }
  return all;
}

}  // namespace culvert
