#include "tunnel-agent/gateway_link.hpp"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "certs/utc_time.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/net/run_blocking.hpp"
#include "tunnel-core/obs/log.hpp"
#include "tunnel-core/obs/log_context.hpp"

namespace culvert {
namespace {

constexpr Duration kShortLife = 1s;
/// Two agents with one identity would otherwise reset each other's streams every second.
constexpr Duration kYield = 30s;
constexpr Duration kDrainCheck = 50ms;
constexpr Duration kFarewell = 300ms;     ///< For SESSION_END to leave.
constexpr Duration kForever = 24h * 365;  ///< The agent's session needs no deadline before it has a lane.

std::string utc_now_text() {
  return certs::utc_text(certs::utc_now());
}

std::string session_text(SessionId id) {
  return fmt::format("{:016x}", id.value);
}

std::string host_name() {
  char name[254] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string_view carrier_name(std::optional<Carrier> carrier) {
  if (!carrier) return "";  // Its connection has just gone.
  return *carrier == Carrier::WebSocket ? "websocket" : "culvert";
}

/// Resets that say the target itself is unusable, now or by policy.
bool blames_target(Errc reason) {
  return reason >= Errc::TargetUnknown && reason <= Errc::TargetNameUnresolved;
}

/// An agent without its link looks alive and replicates nothing: a restart is better.
void die_of_bug(std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    spdlog::critical("the link to the gateway stopped on an internal error: {}", error.what());
  }
  std::abort();
}

asio::steady_timer::duration ticks(Duration duration) {
  return std::chrono::duration_cast<asio::steady_timer::duration>(duration);
}

}  // namespace

GatewayLink::GatewayLink(LinkConfig config, DataThread& thread, ProcessMemory& memory, LimitTable& limits,
                         asio::thread_pool& control, cloud_api::Client& client, LaneRoute& route)
    : config_(std::move(config)),
      thread_(thread),
      memory_(memory),
      limits_(limits),
      control_(control),
      client_(client),
      route_(route),
      instance_id_(random_bytes(16)),
      since_(utc_now_text()),
      keeper_(
          {config_.gateway, config_.session_memory, config_.most_lanes}, thread, route,
          [this](const Error& error) { note_failure(error); }, die_of_bug),
      pause_timer_(thread.io()),
      drain_timer_(thread.io()),
      tasks_(thread.io().get_executor(), die_of_bug) {
  new_driver();
}

void GatewayLink::new_driver() {
  SessionConfig session;
  session.role = Role::Agent;
  session.memory = config_.session_memory;
  session.first_lane_deadline = kForever;
  session.open_timeout = config_.open_timeout;
  if (driver_) {
    const SessionStats stats = driver_->session().stats();
    opened_before_ += stats.opened_total;
    reset_before_ += stats.reset_total;
  }
  driver_.reset();
  driver_ = std::make_unique<SessionDriver>(thread_, memory_, session, *this);
  grant_.reset();
  replace_ = false;
}

void GatewayLink::start() {
  pace_.restart(thread_.clock().now());
  tasks_.spawn(run());
}

asio::awaitable<void> GatewayLink::run() {
  for (;;) {
    if (replace_) new_driver();
    if (!grant_) {
      const bool obtained = co_await obtain_session();
      if (!obtained) co_await pause();
      continue;
    }
    const Instant began = thread_.clock().now();
    const auto kept = co_await keeper_.run(*driver_, *grant_);
    if (!kept && !replace_) handle_session_end(kept.error());
    // Sessions that end as soon as they begin must not follow each other in a storm.
    if (thread_.clock().now() - began >= kShortLife && !yielding_)
      pace_.restart(thread_.clock().now());
    else
      co_await pause();
  }
}

asio::awaitable<bool> GatewayLink::obtain_session() {
  const cloud_api::SessionRequest request{instance_id_, CULVERT_VERSION, host_name(), config_.session_memory};
  auto work = [this, request] { return client_.create_session(request); };
  auto grant = co_await run_blocking(control_, std::move(work));
  if (!grant) {
    // TLS has no alert that says what is wrong with our own certificate.
    const auto fit = config_.check_identity ? config_.check_identity() : Result<void>{};
    note_failure(fit ? grant.error() : fit.error());
    co_return false;
  }
  grant_ = std::move(*grant);
  driver_->session().adopt(grant_->resume_deadline, grant_->stream_limit);
  spdlog::info("session={} granted by {}", session_text(grant_->id), config_.gateway_url);
  co_return true;
}

void GatewayLink::handle_session_end(const Error& error) {
  if (driver_->session().epoch() == 0) {
    grant_.reset();  // It never had a lane: streams that wait are taken along into the next one.
  } else {
    driver_->end(error.code(),
                 error.code() == Errc::AccessRevoked
                     ? "the site may not use this gateway any more"
                     : "the gateway no longer knows the session; it was restarted or gave it up");
    replace_ = true;
  }
  note_failure(error);
}

/// A new source ends a longer pause, unless another agent is to be let be.
asio::awaitable<void> GatewayLink::pause() {
  const Duration usual = pace_.after_failure(thread_.clock().now(), driver_->session().stats().streams > 0);
  const Duration pause = yielding_ ? kYield : usual;
  pause_timer_.expires_after(ticks(pause));
  error_code cancelled;
  auto token = asio::redirect_error(asio::use_awaitable, cancelled);
  co_await pause_timer_.async_wait(token);
  yielding_ = false;
}

void GatewayLink::note_failure(const Error& error) {
  const bool had_lane = driver_->session().epoch() > 0 && !driver_->session().ended();
  set_state(had_lane ? SessionState::Stalled : SessionState::Down, error.text());
  // One line per kind of trouble in one outage, not one per attempt.
  if (!logged_.insert(error.code()).second) return;
  spdlog::warn("{} {}, trying again: {}: {}",
               had_lane ? "the session waits for a lane to" : "no session with", config_.gateway_url,
               errc_name(error.code()), error.text());
}

void GatewayLink::set_state(SessionState state, std::string error) {
  error_ = std::move(error);
  if (state == state_) return;
  state_ = state;
  since_ = utc_now_text();
  if (forwards_ != nullptr) forwards_->set_session_state(state == SessionState::Up);
}

void GatewayLink::accept(int fd, const Forward& forward, SourceAddress source) {
  asio::ip::tcp::socket socket{thread_.io()};
  error_code error;
  socket.assign(source.address.is_v6() ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), fd, error);
  if (error) {
    ::close(fd);
    return;
  }
  if (driver_->session().is_worn_out()) replace_session();
  const OpenInfo info{forward.target, source.to_text(), forward.weight};
  const auto id = driver_->open(std::move(socket), info, &limits_.of_forward(forward.name));
  if (!id) {
    spdlog::warn("forward={} source={} refused reason={}: {}", forward.name, info.source,
                 errc_name(id.error().code()), id.error().message());
    return;
  }
  spdlog::debug("stream={} opened forward={} source={}", id->value, forward.name, info.source);
  if (driver_->session().lane_count() > 0) return;
  if (!yielding_) pause_timer_.cancel();
  keeper_.hurry();
}

/// docs/protocol.md §6.1. The source that showed it is refused and has to come again: once in 2^31 streams.
void GatewayLink::replace_session() {
  if (replace_) return;
  spdlog::info("session={} has used up its stream ids, a new one begins",
               grant_ ? session_text(grant_->id) : "-");
  driver_->end(Errc::StreamIdsExhausted, "the stream ids of the session are used up");
  replace_ = true;
  keeper_.stop();
}

void GatewayLink::handle_offered(StreamId id, const OpenInfo& info) {
  spdlog::warn("stream={} refused: the gateway opened a stream to {}, and no reverse forward exists",
               id.value, info.target);
  driver_->refuse(id, Errc::TargetUnknown, "this agent has no reverse forward of that name");
}

void GatewayLink::handle_opened(StreamId, const OpenInfo& info) {
  if (forwards_ != nullptr) forwards_->set_target_state(info.target, true);
}

void GatewayLink::handle_reset(StreamId id, const OpenInfo& info, Errc reason, const std::string& text) {
  const auto level =
      reason == Errc::StreamCancelled || reason == Errc::Draining ? spdlog::level::info : spdlog::level::warn;
  spdlog::log(level, "stream={} reset target={} source={} reason={}: {}", id.value, info.target, info.source,
              errc_name(reason), text);
  if (forwards_ == nullptr) return;
  if (blames_target(reason)) forwards_->set_target_state(info.target, false);
  if (blames_target(reason) || reason == Errc::SocketFailed)
    forwards_->note_trouble(info.target, {reason, text, utc_now_text()});
}

void GatewayLink::handle_lane_up(LaneId id) {
  const Session& session = driver_->session();
  spdlog::info("session={} lane={} up epoch={} lanes={} streams={}", session_text(grant_->id), id.value,
               session.epoch(), session.lane_count(), session.stats().streams);
  logged_.clear();
  set_state(SessionState::Up, {});
}

void GatewayLink::handle_lane_down(LaneId id, const Error& reason, std::size_t left) {
  spdlog::warn("session={} lane={} lost lanes={} streams_waiting={} reason={}: {}", session_text(grant_->id),
               id.value, left, driver_->session().stats().streams, errc_name(reason.code()), reason.text());
  const bool waits = left == 0 && !driver_->session().ended();
  if (waits) set_state(SessionState::Stalled, reason.text());
  keeper_.hurry();
}

void GatewayLink::handle_lane_closed(LaneId id, std::size_t left) {
  spdlog::info("session={} lane={} given back lanes={}", session_text(grant_->id), id.value, left);
  keeper_.hurry();
}

void GatewayLink::handle_peer_draining() {
  spdlog::info("the gateway is draining: streams go on, new ones are refused until it is back");
}

void GatewayLink::handle_ended(Errc reason, const std::string& text) {
  spdlog::warn("session={} ended reason={}: {}", grant_ ? session_text(grant_->id) : "-", errc_name(reason),
               text);
  set_state(SessionState::Down, text);
  last_end_ = SessionEnd{reason, text, utc_now_text()};
  yielding_ = reason == Errc::SupersededInstance;
  replace_ = true;
  keeper_.stop();
}

void GatewayLink::drain(Duration timeout, std::function<void()> done) {
  draining_ = true;
  drained_ = std::move(done);
  drain_until_ = thread_.clock().now() + timeout;
  driver_->drain(timeout);
  check_drained();
}

void GatewayLink::hurry() {
  drain_until_ = thread_.clock().now();
}

void GatewayLink::check_drained() {
  const bool over = thread_.clock().now() >= drain_until_;
  const std::size_t streams = driver_->session().stats().streams;
  if (streams == 0 || over) {
    if (streams > 0) spdlog::warn("the time to drain is over: resetting {} streams", streams);
    driver_->end(Errc::SessionClosed, "the agent is shutting down");
    return finish_drain();
  }
  drain_timer_.expires_after(ticks(kDrainCheck));
  drain_timer_.async_wait([this](error_code cancelled) {
    if (!cancelled) check_drained();
  });
}

void GatewayLink::finish_drain() {
  drain_timer_.expires_after(ticks(kFarewell));
  drain_timer_.async_wait([this](error_code) { drained_(); });
}

std::size_t GatewayLink::streams_to(const std::string& target) const {
  const auto streams = driver_->session().stream_stats(SIZE_MAX);
  return static_cast<std::size_t>(
      std::ranges::count_if(streams, [&](const StreamStats& stream) { return stream.target == target; }));
}

AgentStatus GatewayLink::status(bool with_streams) const {
  AgentStatus status;
  status.session = {state_,
                    grant_ && !replace_ ? session_text(grant_->id) : "",
                    config_.gateway_url,
                    since_,
                    error_,
                    state_ == SessionState::Up ? std::string{limit_name(driver_->limit())} : "",
                    last_end_,
                    draining_                            ? "agent"
                    : driver_->session().peer_draining() ? "gateway"
                                                         : ""};
  const Session& session = driver_->session();
  for (const LaneStats& lane : session.lane_stats(thread_.clock().now())) {
    const bool suspected = lane.suspected || lane.silent > kPingAfter * 2;
    status.lanes.push_back({lane.id.value,
                            suspected       ? "suspected"
                            : lane.retiring ? "closing"
                                            : "up",
                            std::chrono::duration<double, std::milli>(lane.round_trip).count(),
                            lane.sent_bytes, lane.received_bytes,
                            std::string{carrier_name(driver_->carrier_of(lane.id))}, route_.proxy_name(),
                            driver_->line_of(lane.id)});
  }
  const SessionStats stats = session.stats();
  status.streams = {stats.streams, opened_before_ + stats.opened_total, reset_before_ + stats.reset_total};
  status.limits = limits_.status();
  const bool held_back = std::ranges::any_of(status.limits, &LimitStatus::up_limiting);
  if (held_back && status.session.limited_by == "source") status.session.limited_by = "limit";
  status.backlog_bytes = stats.backlog_bytes;
  if (!with_streams) return status;
  status.stream_list.emplace();
  const auto now = thread_.clock().now();
  for (const StreamStats& stream : session.stream_stats(SIZE_MAX)) {
    const auto opened =
        certs::utc_now() - std::chrono::duration_cast<std::chrono::seconds>(now - stream.opened_at);
    status.stream_list->push_back({stream.id.value, stream.target, stream.source,
                                   stream.opening ? "opening" : "open", certs::utc_text(opened),
                                   stream.sent_bytes, stream.received_bytes});
  }
  return status;
}

}  // namespace culvert
