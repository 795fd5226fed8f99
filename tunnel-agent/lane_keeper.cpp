#include "tunnel-agent/lane_keeper.hpp"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

/// Lanes that are back after a silence are replaced within this, or four round trips, or kept.
constexpr Duration kReplaceWithin = 1s;
/// How soon silence is noticed.
constexpr Duration kLookAgain = 250ms;
/// A dial waits 3 s for each address of the gateway, one to a proxy 10 s, and four of those go at a time.
constexpr std::size_t kMostPending = 16;
constexpr std::size_t kMostPendingByProxy = 8;
constexpr Duration kShortLife = 1s;
constexpr Duration kFirstExtraPause = 1s;
constexpr Duration kLongestExtraPause = 60s;

/// The same dial at the node that owns the session, when the gateway named one (docs/rest-api.md §4).
std::optional<LaneDial> dial_of_endpoint(LaneDial dial,
                                         const std::optional<cloud_api::LaneEndpoint>& endpoint) {
  if (!endpoint) return std::nullopt;
  const auto address = cloud_api::GatewayUrl::parse("https://" + endpoint->address);
  if (!address) return std::nullopt;
  dial.host = address->host;
  dial.port = address->port;
  dial.server_name = endpoint->sni;
  return dial;
}

bool is_connection_trouble(Errc code) {
  return code == Errc::NameUnresolved || code == Errc::ConnectionRefused || code == Errc::Unreachable ||
         code == Errc::TimedOut || code == Errc::ProxyRefused;
}

/// The gateway has ended it, and will never take it up again.
bool is_end_of_session(Errc code) {
  return code == Errc::UnknownSession || code == Errc::AccessRevoked;
}

}  // namespace

LaneKeeper::LaneKeeper(LaneKeeperConfig config, DataThread& thread, LaneRoute& route,
                       FailureHandler on_failure, TaskGroup::FailureHandler on_bug)
    : config_(std::move(config)),
      thread_(thread),
      route_(route),
      on_failure_(std::move(on_failure)),
      wake_(thread.io()),
      dials_(thread.io().get_executor(), std::move(on_bug)) {}

void LaneKeeper::stop() {
  stopped_ = true;
  hurry();
}

asio::awaitable<Result<void>> LaneKeeper::run(SessionDriver& driver, const cloud_api::SessionGrant& grant) {
  ++generation_;
  driver_ = &driver;
  grant_ = &grant;
  plan_.emplace(std::clamp<std::size_t>(grant.lane_limit, 1, std::min(config_.most_lanes, kMaxLanes)));
  session_end_.reset();
  outage_.reset();
  last_epoch_ = driver.session().epoch();
  begin_dials();
  was_up_ = false;
  stopped_ = false;
  pace_.restart(thread_.clock().now());
  while (!stopped_ && !session_end_) {
    const Instant now = thread_.clock().now();
    const bool down = is_down(now);
    if (outage_ && !down && !outage_->back_since) outage_->back_since = now;
    const Duration pause = down || has_worn_lanes(now) ? recover(now) : adjust(now);
    wake_.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(pause));
    error_code woken;
    auto token = asio::redirect_error(asio::use_awaitable, woken);
    co_await wake_.async_wait(token);
  }
  ++generation_;
  if (session_end_) co_return *std::exchange(session_end_, std::nullopt);
  co_return Result<void>{};
}

/// No lane is up, none answers, or those that are back are to be replaced. All dials of one outage share an
/// epoch until one fails: each that succeeds is a lane, and the first one takes the place of lanes that are
/// silent.
Duration LaneKeeper::recover(Instant now) {
  if (!outage_) {
    // The first dial comes at once, unless the lanes did not live for a second: that would be a storm.
    const bool storm = up_since_ != Instant{} && now - up_since_ < kShortLife;
    if (!storm) pace_.restart(now);
    const bool streams_wait = driver_->session().stats().streams > 0;
    outage_ = Outage{last_epoch_ + 1, storm ? now + pace_.after_failure(now, streams_wait) : now, {}, {}};
    begin_dials();
  }
  if (!outage_->back_since && line_lost_packets()) outage_->worn_epoch = driver_->session().epoch();
  if (pending_ >= (route_.by_proxy() ? kMostPendingByProxy : kMostPending)) return kLookAgain;
  if (now >= outage_->next_dial) {
    dial(outage_->epoch);
    outage_->next_dial = now + pace_.beside_others(now, driver_->session().stats().streams > 0);
  }
  return std::max<Duration>(outage_->next_dial - now, 1ms);
}

Duration LaneKeeper::adjust(Instant now) {
  const LineLoad load = driver_->session().line_load();
  if (std::exchange(outage_, std::nullopt)) {
    up_since_ = now;
    // Those whose SYN was lost come seconds late, if ever: lanes that are wanted do not wait for them.
    begin_dials();
    const bool returns = std::exchange(was_up_, true);
    if (returns) plan_->note_return(load, driver_->session().stats().backlog_bytes, now);
  }
  wanted_ = plan_->wanted(load, now);
  if (load.lanes > wanted_) give_back(load.lanes - wanted_);
  if (now >= next_extra_) {
    for (std::size_t lanes = load.lanes + pending_; lanes < wanted_; ++lanes) {
      dial(driver_->session().epoch());
    }
  }
  return std::min(plan_->interval(), kLookAgain);
}

void LaneKeeper::give_back(std::size_t surplus) {
  const auto lanes = driver_->session().lane_stats(thread_.clock().now());
  for (auto lane = lanes.rbegin(); lane != lanes.rend() && surplus > 0; ++lane) {
    if (lane->retiring) continue;
    driver_->retire_lane(lane->id);
    --surplus;
  }
}

bool LaneKeeper::is_down(Instant now) const {
  const Session& session = driver_->session();
  if (session.lane_count() == 0 || session.is_silent(now)) return true;
  return session.is_unheard(now) && line_lost_packets();  // The line is dead one way.
}

/// Not so when it is the gateway that stands still: its kernel goes on acknowledging.
bool LaneKeeper::line_lost_packets() const {
  const auto lanes = driver_->session().lane_stats(thread_.clock().now());
  return std::ranges::any_of(lanes, [&](const LaneStats& lane) {
    const auto line = driver_->line_of(lane.id);
    return line && line->time_outs > 0;
  });
}

/// The lanes that are back are those whose packets were lost: next to nothing is left of their congestion
/// windows, and it takes them longer than a dial to grow again.
bool LaneKeeper::has_worn_lanes(Instant now) const {
  const Session& session = driver_->session();
  if (!outage_ || outage_->worn_epoch != session.epoch()) return false;
  const Duration within = std::max<Duration>(kReplaceWithin, 4 * session.line_load().round_trip);
  return !outage_->back_since || now < *outage_->back_since + within;
}

/// A dial that took its time may come when others have mended what it was made for.
bool LaneKeeper::wants(std::uint32_t epoch) const {
  const Session& session = driver_->session();
  const Instant now = thread_.clock().now();
  if (is_down(now) || (epoch > session.epoch() && has_worn_lanes(now))) return true;
  return epoch == session.epoch() && session.line_load().lanes < wanted_;
}

void LaneKeeper::begin_dials() {
  ++series_;
  pending_ = 0;
}

void LaneKeeper::dial(std::uint32_t epoch) {
  LaneDial dial;
  dial.host = config_.gateway.host;
  dial.port = config_.gateway.port;
  dial.server_name = config_.gateway.host;
  dial.session = grant_->id;
  dial.secret = grant_->secret;
  dial.epoch = epoch;
  dial.lane = LaneId{next_number_++};
  dial.replay_memory = config_.replay_memory;
  dial.wanted = [this, epoch, generation = generation_] { return generation == generation_ && wants(epoch); };
  last_epoch_ = std::max(last_epoch_, epoch);
  ++pending_;
  dials_.spawn(run_dial(generation_, series_, dial, dial_of_endpoint(dial, grant_->lane_endpoint)));
}

asio::awaitable<void> LaneKeeper::run_dial(std::uint64_t generation, std::uint64_t series, LaneDial dial,
                                           std::optional<LaneDial> nearer) {
  Result<DialedLane> lane = Error{Errc::Unreachable, "not tried"};
  if (nearer) lane = co_await dial_lane(thread_.io(), route_, *nearer);
  // The endpoint is a short cut; the gateway's own URL leads to the session as well.
  const bool fall_back = !nearer || (!lane && is_connection_trouble(lane.error().code()));
  if (fall_back) lane = co_await dial_lane(thread_.io(), route_, dial);
  if (generation != generation_) co_return;
  const bool is_current = series == series_;
  if (is_current) --pending_;
  Result<void> added = lane ? add_lane(dial, std::move(*lane)) : lane.error();
  if (!added && is_end_of_session(added.error().code())) {
    session_end_ = added.error();
  } else if (!added && is_current) {
    handle_failure(dial, added.error());
  }
  hurry();
}

Result<void> LaneKeeper::add_lane(const LaneDial& dial, DialedLane lane) {
  const Session& session = driver_->session();
  if (dial.epoch < session.epoch()) return {};  // The gateway has discarded it as well.
  // Two dials may cross: who is to have one lane has one.
  if (dial.epoch == session.epoch() && session.line_load().lanes >= plan_->most()) return {};
  auto added = driver_->add_lane(dial.lane, dial.epoch, lane.peer_replay, lane.stream, {}, lane.leftover,
                                 lane.carrier);
  if (added) extra_pause_ = {};
  return added;
}

void LaneKeeper::handle_failure(const LaneDial& dial, const Error& error) {
  const bool was_replaced = dial.epoch < driver_->session().epoch();
  if (error.code() == Errc::Cancelled || was_replaced) return;
  const Instant now = thread_.clock().now();
  if (!outage_) {
    if (driver_->session().lane_count() == 0) return;
    extra_pause_ = std::clamp(extra_pause_ * 2, kFirstExtraPause, kLongestExtraPause);
    next_extra_ = now + extra_pause_;
    spdlog::debug("lane={} beside the others failed: {}", dial.lane.value, error.text());
    return;
  }
  // The gateway may have heard this one: what it took for a lane must not be waited for.
  outage_->epoch = last_epoch_ + 1;
  const bool old_epoch = error.code() == Errc::EpochInvalid;
  const bool streams_wait = driver_->session().stats().streams > 0;
  if (old_epoch) {
    outage_->next_dial = now;
  } else if (pending_ == 0) {
    // Beside others that still wait, the end of one that was never answered postpones nothing.
    outage_->next_dial = now + pace_.after_failure(now, streams_wait);
  }
  if (!old_epoch && driver_->session().lane_count() == 0) on_failure_(error);
}

}  // namespace culvert
