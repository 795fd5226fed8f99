#include "tunnel-agent/lane_keeper.hpp"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

/// Beside dials that wait for an answer, one more starts this often: a SYN that was lost is repeated only
/// after 1, 3 and 7 s, and 0.7 s falls between those times.
constexpr Duration kNextDial = 700ms;
/// How soon silence is noticed.
constexpr Duration kLookAgain = 250ms;
constexpr std::size_t kMostPending = 8;
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
  unknown_.reset();
  outage_.reset();
  last_epoch_ = driver.session().epoch();
  pending_ = 0;
  stopped_ = false;
  pace_.restart(thread_.clock().now());
  while (!stopped_ && !unknown_) {
    const Instant now = thread_.clock().now();
    const Duration pause = is_down(now) ? recover(now) : adjust(now);
    wake_.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(pause));
    error_code woken;
    auto token = asio::redirect_error(asio::use_awaitable, woken);
    co_await wake_.async_wait(token);
  }
  ++generation_;
  if (unknown_) co_return *std::exchange(unknown_, std::nullopt);
  co_return Result<void>{};
}

/// No lane is up, or none answers. All dials of one outage share an epoch until one fails: each that succeeds
/// is a lane, and the first one takes the place of lanes that are silent.
Duration LaneKeeper::recover(Instant now) {
  if (!outage_) {
    // The first dial comes at once, unless the lanes did not live for a second: that would be a storm.
    const bool storm = up_since_ != Instant{} && now - up_since_ < kShortLife;
    if (!storm) pace_.restart(now);
    const bool streams_wait = driver_->session().stats().streams > 0;
    outage_ = Outage{last_epoch_ + 1, storm ? now + pace_.next(now, streams_wait) : now};
  }
  if (now >= outage_->next_dial && pending_ < kMostPending) {
    dial(outage_->epoch);
    outage_->next_dial = now + kNextDial;
  }
  return std::max<Duration>(outage_->next_dial - now, 1ms);
}

Duration LaneKeeper::adjust(Instant now) {
  if (outage_) up_since_ = now;
  outage_.reset();
  const LineLoad load = driver_->session().line_load();
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
  return driver_->session().lane_count() == 0 || driver_->session().is_silent(now);
}

/// A dial that took its time may come when others have mended what it was made for.
bool LaneKeeper::wants(std::uint32_t epoch) const {
  const Session& session = driver_->session();
  return is_down(thread_.clock().now()) || (epoch == session.epoch() && session.line_load().lanes < wanted_);
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
  dials_.spawn(run_dial(generation_, dial, dial_of_endpoint(dial, grant_->lane_endpoint)));
}

asio::awaitable<void> LaneKeeper::run_dial(std::uint64_t generation, LaneDial dial,
                                           std::optional<LaneDial> nearer) {
  Result<DialedLane> lane = Error{Errc::Unreachable, "not tried"};
  if (nearer) lane = co_await dial_lane(thread_.io(), route_, *nearer);
  // The endpoint is a short cut; the gateway's own URL leads to the session as well.
  const bool fall_back = !nearer || (!lane && is_connection_trouble(lane.error().code()));
  if (fall_back) lane = co_await dial_lane(thread_.io(), route_, dial);
  if (generation != generation_) co_return;
  --pending_;
  if (lane) {
    handle_lane(dial, std::move(*lane));
  } else {
    handle_failure(dial, lane.error());
  }
  hurry();
}

void LaneKeeper::handle_lane(const LaneDial& dial, DialedLane lane) {
  if (dial.epoch < driver_->session().epoch()) return;  // The gateway has discarded it as well.
  const auto added = driver_->add_lane(dial.lane, dial.epoch, lane.peer_replay, lane.stream, {},
                                       lane.leftover, lane.carrier);
  if (!added) return handle_failure(dial, added.error());
  extra_pause_ = {};
}

void LaneKeeper::handle_failure(const LaneDial& dial, const Error& error) {
  if (error.code() == Errc::Cancelled) return;
  const Instant now = thread_.clock().now();
  if (error.code() == Errc::UnknownSession) {
    unknown_ = error;
    return;
  }
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
  outage_->next_dial = old_epoch ? now : now + pace_.next(now, streams_wait);
  if (!old_epoch && driver_->session().lane_count() == 0) on_failure_(error);
}

}  // namespace culvert
