#include "tunnel-core/net/rate_limit.hpp"

#include <algorithm>
#include <utility>

namespace culvert {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
/// A timer that waits for tokens looks again after this at the latest: the rate may have become another one.
constexpr Duration kLongestSleep = 250ms;
constexpr Duration kLimitingFor = 1s;
constexpr std::size_t kTurnsAtOnce = 5;  ///< Half of what a bucket holds, at most rates.

std::int64_t ns(Instant instant) {
  return instant.time_since_epoch().count();
}

}  // namespace

std::int64_t TokenBucket::cost_ns(std::uint64_t bytes) const {
  const std::uint64_t rate = rate_.load(std::memory_order_relaxed);
  if (rate == 0) return 0;
  // A double is exact enough (2^-53) and cannot overflow, unlike bytes * 8e9.
  return static_cast<std::int64_t>(static_cast<double>(bytes) * 8 * kSecondNs / static_cast<double>(rate) +
                                   0.5);
}

std::uint64_t TokenBucket::turn() const {
  return std::max(kLeastTurn, rate_.load(std::memory_order_relaxed) / 8 / 200);
}

std::uint64_t TokenBucket::take(std::uint64_t want, std::uint64_t least, Instant now) {
  const std::uint64_t rate = rate_.load(std::memory_order_relaxed);
  if (rate == 0) return want;
  const std::int64_t depth = std::max(kDepth.count(), cost_ns(kLeastDepth));
  std::int64_t empty_at = empty_at_ns_.load(std::memory_order_relaxed);
  for (;;) {
    const std::int64_t from = std::max(empty_at, ns(now) - depth);
    if (from >= ns(now)) return 0;
    const auto there = static_cast<std::uint64_t>(static_cast<double>(ns(now) - from) *
                                                  static_cast<double>(rate) / 8 / kSecondNs);
    if (there < least) return 0;
    const std::uint64_t taken = std::min(want, there);
    if (empty_at_ns_.compare_exchange_weak(empty_at, from + cost_ns(taken), std::memory_order_relaxed))
      return taken;
  }
}

void TokenBucket::give_back(std::uint64_t bytes) {
  empty_at_ns_.fetch_sub(cost_ns(bytes), std::memory_order_relaxed);
}

TokenBucket::Reservation TokenBucket::reserve(std::uint64_t bytes, Instant now, Duration late) {
  Reservation made{bytes, rate(), now, Duration{cost_ns(bytes)}};
  if (made.rate.value == 0) return made;
  const std::int64_t behind = std::max(late.count(), cost_ns(kLeastDepth));
  std::int64_t empty_at = empty_at_ns_.load(std::memory_order_relaxed);
  for (;;) {
    const std::int64_t then = std::max(empty_at, ns(now) - behind) + made.cost.count();
    if (!empty_at_ns_.compare_exchange_weak(empty_at, then, std::memory_order_relaxed)) continue;
    made.due = Instant{Duration{then}};
    return made;
  }
}

void TokenBucket::cancel(const Reservation& reservation) {
  if (reservation.rate.value != 0)
    empty_at_ns_.fetch_sub(reservation.cost.count(), std::memory_order_relaxed);
}

void RateWaiter::leave() {
  if (at_ == nullptr) return;
  at_->queue_.erase(order_);
  at_ = nullptr;
}

RateLimit::RateLimit(boost::asio::io_context& io, const Clock& clock, std::shared_ptr<TokenBucket> bucket)
    : clock_(clock), bucket_(std::move(bucket)), timer_(io), self_(std::make_shared<RateLimit*>(this)) {}

RateLimit::~RateLimit() {
  *self_ = nullptr;
  disarm();
  while (!queue_.empty()) queue_.begin()->second->leave();
}

void RateLimit::set_rate(BitRate rate) {
  bucket_->set_rate(rate);
  if (!reserved_ || reserved_->rate == rate) return;
  disarm();
  arm(TokenBucket::kDepth);
}

std::uint64_t RateLimit::take(std::uint64_t want, RateWaiter& waiter) {
  if (!limited()) return want;
  if (turn_of_ == &waiter) {
    turn_of_ = nullptr;
    const std::uint64_t given = std::min(want, bank_);
    bank_ -= given;
    if (given > 0) return given;
  } else if (queue_.empty() && !serving_ && !limiting()) {
    const std::uint64_t given = bucket_->take(want, std::min(want, turn()), clock_.now());
    if (given > 0) {
      note_turn(waiter);
      return given;
    }
  }
  enqueue(waiter);
  return 0;
}

/// Numbers are unlike over all limits: a place that comes to another limit must not meet its own number
/// there.
void RateLimit::note_turn(RateWaiter& waiter) {
  static std::atomic<std::uint64_t> latest{0};
  waiter.leave();
  waiter.order_ = latest.fetch_add(1, std::memory_order_relaxed) + 1;
}

void RateLimit::enqueue(RateWaiter& waiter) {
  if (waiter.at_ == this) return;
  waiter.leave();
  if (waiter.order_ == 0) note_turn(waiter);
  waiter.at_ = this;
  queue_.emplace(waiter.order_, &waiter);
  if (!serving_) arm(TokenBucket::kDepth);
}

bool RateLimit::limiting() const {
  return limited() && short_at_ && clock_.now() - *short_at_ < kLimitingFor;
}

/// One turn for each stream that waits: threads that share a bucket get as much as they have streams. Not
/// more than five, so that none of them keeps the others waiting for long.
void RateLimit::arm(Duration late) {
  if (reserved_ || queue_.empty()) return;
  const Instant now = clock_.now();
  std::uint64_t bytes = 0;
  std::size_t left = kTurnsAtOnce;
  for (auto next = queue_.begin(); next != queue_.end() && left > 0; ++next, --left) {
    bytes += turn() + std::min(next->second->credit_, turn());
  }
  reserved_ = bucket_->reserve(bytes, now, late);
  if (reserved_->due > now) short_at_ = reserved_->due;
  wait();
}

void RateLimit::disarm() {
  if (reserved_) bucket_->cancel(*reserved_);
  reserved_.reset();
}

void RateLimit::wait() {
  const Instant until = std::min(reserved_->due, clock_.now() + kLongestSleep);
  timer_.expires_at(std::chrono::time_point_cast<boost::asio::steady_timer::duration>(until));
  timer_.async_wait([self = self_](const boost::system::error_code& cancelled) {
    if (!cancelled && *self != nullptr) (*self)->handle_timer();
  });
}

void RateLimit::handle_timer() {
  if (!reserved_) return;
  if (reserved_->rate != rate()) {  // Another thread has changed it.
    disarm();
    return arm(TokenBucket::kDepth);
  }
  if (clock_.now() < reserved_->due) return wait();
  serve();
}

void RateLimit::serve() {
  bank_ = reserved_->bytes;
  reserved_.reset();
  serving_ = true;
  // As many turns as streams wait now; who had one and asks for more is behind all of them.
  for (std::size_t left = queue_.size(); left > 0 && !queue_.empty() && (bank_ > 0 || !limited()); --left) {
    turn_of_ = queue_.begin()->second;
    note_turn(*turn_of_);
    turn_of_->handle_turn();
  }
  serving_ = false;
  turn_of_ = nullptr;
  bucket_->give_back(std::exchange(bank_, 0));
  arm(TokenBucket::kCatchUp);
}

void StreamLimits::refresh() {
  for (std::size_t direction = 0; direction < of.size(); ++direction) {
    any[direction] = std::ranges::any_of(
        of[direction], [](const RateLimit* limit) { return limit != nullptr && limit->limited(); });
  }
}

Pacer::Pacer() {
  for (Place& place : places_) place.pacer = this;
}

std::uint64_t Pacer::acquire(const StreamLimits::Limits& limits, std::uint64_t want) {
  // The tightest limit's turn is enough to go on; more would be asked for in vain from the others.
  std::uint64_t enough = want;
  for (std::size_t i = 0; i < limits.size(); ++i) {
    Place& place = places_[i];
    place.limit = limits[i] != nullptr && limits[i]->limited() ? limits[i] : nullptr;
    if (place.limit != nullptr) {
      enough = std::min(enough, place.limit->turn());
    } else {
      place.leave();
    }
  }
  std::uint64_t most = want;
  for (Place& place : places_) {
    if (place.limit == nullptr) continue;
    if (place.held < enough) place.held += place.limit->take(want - place.held, place);
    most = std::min(most, place.held);
  }
  return waiting() ? 0 : most;
}

void Pacer::Place::handle_turn() {
  const std::uint64_t due = limit->turn() + std::min(credit_, limit->turn());
  const std::uint64_t given = limit->take(due, *this);
  held += given;
  credit_ = due - std::min(due, given);
  if (!pacer->waiting()) pacer->handle_turn();
}

/// A socket is empty for a moment in the middle of a turn now and then: that must not cost its share.
void Pacer::Place::give_back() {
  if (limit != nullptr) {
    limit->give_back(held);
    credit_ = std::min(credit_ + held, limit->turn());
  }
  held = 0;
}

void Pacer::spend(std::uint64_t bytes) {
  for (Place& place : places_) place.held -= std::min(place.held, bytes);
}

void Pacer::release() {
  for (Place& place : places_) place.give_back();
}

bool Pacer::waiting() const {
  return std::ranges::any_of(places_, [](const Place& place) { return place.waiting(); });
}

void Pacer::leave() {
  for (Place& place : places_) place.leave();
}

}  // namespace culvert
