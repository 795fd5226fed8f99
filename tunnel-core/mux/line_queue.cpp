#include "tunnel-core/mux/line_queue.hpp"

#include <algorithm>
#include <utility>

namespace culvert {
namespace {

constexpr Duration kLeastQueue = 1ms;
constexpr Duration kLeastOnSlowLines = 4ms;  ///< Where receipts come 2 to 5 ms apart.
constexpr Duration kMostQueue = 25ms;
constexpr double kTwoReceipts = 2 * 64 * 1024;  ///< Bytes; with less than their time the line would run dry.
constexpr Duration kOurs = 1s;  ///< Within this, or eight round trips, a queue of our own is gone.
constexpr Duration kLongestPause = 5min;
constexpr std::uint64_t kLeastLimit = 4096;
/// A lane that has just begun is short of receipts, not of a line: held, it would take seconds to fill it.
/// One that only takes back what a loss cost it has found the line's end before.
constexpr double kGrows = 1.1;
constexpr double kForgets = 0.99;   ///< Each window: halved in 70 round trips.
constexpr double kFaster = 1.25;    ///< Than the line: what the rate was measured too low by is made up for.
constexpr double kLongestTurn = 1;  ///< Seconds; a lane that delivered next to nothing has no rate.
constexpr int kHoldsFor = 16;       ///< Windows; a line that is full rests at times.

/// @param rate  bytes a second, above 0
Duration wanted_queue(Duration empty, double rate) {
  const std::chrono::duration<double> receipts{std::min(kTwoReceipts / rate, 1.0)};
  const Duration least =
      std::clamp(std::chrono::duration_cast<Duration>(receipts), kLeastQueue, kLeastOnSlowLines);
  return std::clamp(empty / 10, least, kMostQueue);
}

}  // namespace

void LineQueue::observe(Duration shortest, Duration empty, double rate, Instant now) {
  const bool held = std::exchange(held_, false);
  holds_ = held ? kHoldsFor : std::max(holds_ - 1, 0);
  if (now < left_until_ || rate <= 0) return;
  const bool grows = rate > kGrows * best_rate_;
  best_rate_ = std::max(rate, best_rate_ * kForgets);
  if (grows && limit_ == kNoLimit) return;
  const Duration wanted = wanted_queue(empty, rate);
  const Duration queue = shortest - empty;
  const bool is_long = queue > wanted + wanted / 2;
  if (!is_long || !held) {
    long_since_ = now;
  } else if (now - long_since_ > std::max(8 * empty, kOurs)) {
    return leave_alone(now);
  }
  if (held && !is_long) pause_ = kFirstPause;
  if (!is_long && limit_ == kNoLimit) return;
  if (holds_ == 0 && queue < wanted / 2) {
    limit_ = kNoLimit;
    return;
  }
  const double seconds = std::chrono::duration<double>(empty + wanted).count();
  const std::uint64_t fitting = std::max(static_cast<std::uint64_t>(rate * seconds), kLeastLimit);
  follow(queue, wanted, held, fitting);
  burst_ = wanted / 2;
  // By the limit too: rate and pace would lower each other in turn where this end wakes up late.
  pace_ = kFaster * std::max(rate, static_cast<double>(limit_) / seconds);
}

/// What was changed shows in the window after the next one, which brings what went out before. A queue that
/// is very long is shortened at once.
void LineQueue::follow(Duration queue, Duration wanted, bool held, std::uint64_t fitting) {
  const bool shows = !std::exchange(changed_, false);
  const bool very_long = queue > 4 * wanted;
  if (!shows && !very_long) return;
  const std::uint64_t before = limit_;
  if (queue > wanted + wanted / 2) {
    if (!lowered_) settled_ = std::min(settled_, limit_ / 16 * 15);
    lowered_ = true;
    const bool at_once = limit_ == kNoLimit || very_long;
    limit_ = std::min(limit_, at_once ? fitting : std::max(fitting, limit_ / 4 * 3));
  } else {
    lowered_ = false;
    if (held && queue >= wanted / 2) {
      settled_ = limit_;
    } else if (held) {
      // Not by the rate: receipts that come late, from a busy machine, would lower both in turn.
      limit_ += limit_ < settled_ ? std::min(limit_ / 4, settled_ - limit_) : limit_ / 16;
    }
  }
  changed_ = limit_ != before;
}

void LineQueue::note_bulk(std::size_t bytes, Instant now) {
  if (limit_ == kNoLimit) return;
  const std::chrono::duration<double> taken{std::min(static_cast<double>(bytes) / pace_, kLongestTurn)};
  // What goes out while nothing is held leaves no debt.
  next_bulk_ = std::clamp(next_bulk_, now - burst_, now) + std::chrono::duration_cast<Duration>(taken);
}

/// In the queue of others, who holds back only gets a smaller share.
void LineQueue::leave_alone(Instant now) {
  limit_ = kNoLimit;
  left_until_ = now + pause_;
  pause_ = std::min(2 * pause_, kLongestPause);
}

}  // namespace culvert
