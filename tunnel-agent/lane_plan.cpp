#include "tunnel-agent/lane_plan.hpp"

#include <algorithm>

namespace culvert {
namespace {

constexpr double kBusyRate = 256 * 1024;  ///< Bytes a second; below, more lanes would show nothing.
constexpr double kFastLane = 125e6;  ///< A lane that moves so much is not held back by the line's losses.
constexpr double kStillGrowing = 1.2;
constexpr Duration kLeastWindow = 500ms;
constexpr Duration kMostWindow = 5s;
constexpr Duration kLeastSettling = 200ms;
constexpr Duration kDialTime = 15s;  ///< For all lanes of a step to come up.
constexpr int kWindowsJudged = 3;
constexpr std::size_t kBaseWindows = 5;
constexpr Duration kFirstRetry = 1s;
constexpr Duration kFirstRetryWhenFlat = 15s;  ///< Or so many round trips: BBR needs 25 to recover.
constexpr int kRoundTripsWhenFlat = 300;
constexpr double kLeastFlat = 0.92;  ///< Lanes that are held back by losses scatter by more.
constexpr double kMostFlat = 1.04;
constexpr Duration kLongestRetry = 5min;
constexpr Duration kIdleAfter = 30s;
constexpr Duration kLately = 500ms;  ///< Or four round trips.
constexpr std::size_t kCatchUpLanes = 4;
constexpr Duration kCatchUpTime = 3s;
constexpr int kLeftComesWithin = 6;  ///< Round trips; what moves later may be new.
constexpr Duration kLeastLooks = 300ms;
constexpr std::uint64_t kMuchLeft = 256 * 1024;  ///< Bytes.
constexpr Duration kBusyInterval = 50ms;
constexpr Duration kIdleInterval = 500ms;

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Duration LanePlan::interval() const {
  return busy_ || returned_at_ ? kBusyInterval : kIdleInterval;
}

std::size_t LanePlan::wanted(const LineLoad& load, Instant now) {
  round_trip_ = load.round_trip;
  note_busy(load, now);
  if (now - last_busy_ > kIdleAfter && phase_ == Phase::Base && count_ > 1) {
    remembered_ = count_;
    count_ = 1;
    failed_step_ = 0;
    base_rates_.clear();
    next_try_ = now;
  }
  spare_ = spare_lanes(load, now);
  catch_up(load, now);
  LineLoad of_bulk = load;
  of_bulk.lanes -= std::min(spare_, load.lanes);
  if (returned_at_) {
    begin_window(load, now);  // What was left makes every number of lanes look good.
  } else {
    advance(of_bulk, now);
  }
  return std::min(std::max(count_ + step_, catch_up_) + spare_, most_);
}

void LanePlan::note_return(const LineLoad& load, std::uint64_t backlog_bytes, Instant now) {
  returned_at_ = now;
  left_bytes_ = backlog_bytes;
  returned_at_bytes_ = load.moved_bytes;
  remembered_ = std::max(remembered_, count_ + std::exchange(step_, 0));
  enter(Phase::Base, load, now);
}

/// New lanes leave slow start long before the line is full (measured: at a tenth of it), and one lane alone
/// would take dozens of round trips for what an outage left.
void LanePlan::catch_up(const LineLoad& load, Instant now) {
  if (!returned_at_) return;
  const Duration passed = now - *returned_at_;
  if (passed >= kCatchUpTime) {
    returned_at_.reset();
    catch_up_ = 0;
    return;
  }
  // How much waits at the other end shows when it comes.
  if (passed < std::max(kLeftComesWithin * load.round_trip, kLeastLooks))
    left_bytes_ = std::max(left_bytes_, load.moved_bytes - returned_at_bytes_);
  if (left_bytes_ >= kMuchLeft && load.round_trip >= kFarLine) catch_up_ = kCatchUpLanes;
}

/// One lane more, which sessions keep free of bulk, while somebody waits for answers over a far line.
std::size_t LanePlan::spare_lanes(const LineLoad& load, Instant now) const {
  const bool wanted = load.answers_awaited && (busy_ || (spare_ > 0 && now - last_busy_ < kIdleAfter));
  return wanted && load.round_trip >= kFarLine && count_ + step_ < most_ ? 1 : 0;
}

void LanePlan::advance(const LineLoad& load, Instant now) {
  switch (phase_) {
    case Phase::Base:
      consider_step(load, now);
      break;
    case Phase::Growing:
      if (load.lanes >= count_ + step_) {
        enter(Phase::Settling, load, now);
      } else if (now - phase_since_ > kDialTime) {
        give_up_step(load, now);
      }
      break;
    case Phase::Settling:
      if (now - phase_since_ > std::max(4 * round_trip_, kLeastSettling)) enter(Phase::Judging, load, now);
      break;
    case Phase::Judging:
      judge(load, now);
      break;
  }
}

void LanePlan::note_busy(const LineLoad& load, Instant now) {
  const bool first = last_sample_ == Instant{};
  const double passed = seconds(now - last_sample_);
  const double rate = first || passed <= 0 ? 0 : static_cast<double>(load.moved_bytes - last_bytes_) / passed;
  if (load.moved_bytes != last_bytes_) last_moved_ = now;
  if (load.data_waits) last_waited_ = now;
  last_sample_ = now;
  last_bytes_ = load.moved_bytes;
  // On slow far lanes receipts come in bursts, round trips apart.
  const Duration lately = std::max(4 * round_trip_, kLately);
  busy_ = rate > kBusyRate || (now - last_waited_ < lately && now - last_moved_ < lately);
  if (busy_ || first) last_busy_ = now;
}

void LanePlan::enter(Phase phase, const LineLoad& load, Instant now) {
  phase_ = phase;
  phase_since_ = now;
  begin_window(load, now);
}

void LanePlan::begin_window(const LineLoad& load, Instant now) {
  window_ = {now, load.moved_bytes, std::nullopt, 0};
}

/// Bytes a second over a whole window; nothing before its end, or while the rate still grows by itself.
std::optional<double> LanePlan::steady_rate(const LineLoad& load, Instant now) {
  const Duration length = std::clamp(8 * round_trip_, kLeastWindow, kMostWindow);
  const Duration passed = now - window_.since;
  if (!window_.half_at && passed >= length / 2) {
    window_.half_at = now;
    window_.half_bytes = load.moved_bytes;
  }
  if (passed < length || !window_.half_at || *window_.half_at == now) return std::nullopt;
  const double before =
      static_cast<double>(window_.half_bytes - window_.bytes_at) / seconds(*window_.half_at - window_.since);
  const double after =
      static_cast<double>(load.moved_bytes - window_.half_bytes) / seconds(now - *window_.half_at);
  const double rate = static_cast<double>(load.moved_bytes - window_.bytes_at) / seconds(passed);
  begin_window(load, now);
  if (after > before * kStillGrowing) return std::nullopt;
  return rate;
}

void LanePlan::consider_step(const LineLoad& load, Instant now) {
  // A gap, or lanes that have to come back first, is no measure of what the lanes can do.
  if (!busy_ || load.lanes < count_) return begin_window(load, now);
  const auto rate = steady_rate(load, now);
  if (!rate) return;
  // A line that has changed is worth a new try at once.
  if (base_rate_ > 0 && *rate < base_rate_ / 2) {
    base_rates_.clear();
    next_try_ = now;
  }
  note_base(*rate);
  if (*rate < kBusyRate && !load.data_waits) return;
  const bool fast = *rate > kFastLane * static_cast<double>(count_);
  if (now >= next_try_ && !load.queue_stands && !fast) take_step(load, now);
}

/// The median of the latest windows: one lucky window would make every step look worthless.
void LanePlan::note_base(double rate) {
  base_rates_.push_back(rate);
  if (base_rates_.size() > kBaseWindows) base_rates_.erase(base_rates_.begin());
  std::vector<double> sorted = base_rates_;
  std::ranges::nth_element(sorted, sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2));
  base_rate_ = sorted[sorted.size() / 2];
}

void LanePlan::take_step(const LineLoad& load, Instant now) {
  if (count_ + spare_ >= most_) return enter(Phase::Base, load, now);
  const std::size_t proven = remembered_ > count_ ? remembered_ - count_ : 0;
  // Where half as many again are too many to pay, as on a line that is nearly full, fewer may.
  const std::size_t by_rule = failed_step_ > 1 ? std::min(failed_step_, count_) / 2 : count_ / 2;
  step_ = std::min(std::max({std::size_t{1}, by_rule, proven}), most_ - count_ - spare_);
  remembered_ = 1;
  windows_judged_ = 0;
  most_judged_ = 0;
  flat_windows_ = 0;
  enter(Phase::Growing, load, now);
}

/// A step of k on N lanes stays when the sum rose by k/2N in one of three windows: a loss at the wrong moment
/// hides what a lane brings, chance does not make a clean line half as fast again.
void LanePlan::judge(const LineLoad& load, Instant now) {
  if (!busy_) return give_up_step(load, now);
  const auto rate = steady_rate(load, now);
  if (!rate) {
    if (now - phase_since_ > 4 * kMostWindow) give_up_step(load, now);
    return;
  }
  const double share = static_cast<double>(step_) / (2.0 * static_cast<double>(count_));
  if (*rate >= base_rate_ * (1 + share)) {
    // A lucky window counts for no more than the share: the next step is measured against this.
    base_rate_ = std::min(*rate, base_rate_ * (1 + 2 * share));
    base_rates_ = {base_rate_};
    count_ += std::exchange(step_, 0);
    failed_step_ = 0;
    retry_after_ = {};
    return take_step(load, now);
  }
  most_judged_ = std::max(most_judged_, *rate);
  if (*rate > base_rate_ * kLeastFlat) ++flat_windows_;
  if (++windows_judged_ == kWindowsJudged) give_up_step(load, now);
}

/// A trial is not free: the lanes that stay need round trips to take back what the others had. A line that
/// moves the same with more lanes is full, and few trials are enough to notice that it has changed.
void LanePlan::give_up_step(const LineLoad& load, Instant now) {
  const bool judged = windows_judged_ == kWindowsJudged;
  // One window may be one in which BBR looked at the empty line.
  const bool full = judged && flat_windows_ >= kWindowsJudged - 1 && most_judged_ < base_rate_ * kMostFlat;
  failed_step_ = judged ? step_ : 0;
  step_ = 0;
  const Duration first = std::max(kFirstRetryWhenFlat, kRoundTripsWhenFlat * round_trip_);
  retry_after_ = full ? std::clamp(retry_after_ * 4, std::min(first, kLongestRetry), kLongestRetry)
                      : std::clamp(retry_after_ * 2, kFirstRetry, kLongestRetry);
  next_try_ = now + retry_after_;
  enter(Phase::Base, load, now);
}

}  // namespace culvert
