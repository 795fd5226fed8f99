// Bandwidth limits of relays. A relay asks before it moves payload; what it may not move yet waits in its
// local socket or in the stream's window, and backpressure does the rest.
//
//   TokenBucket   how much may move now, in one direction; may be shared by threads
//   RateLimit     a bucket as one thread sees it: the queue of its streams that wait, and one timer
//   StreamLimits  the limits of one kind of stream (of a forward, say), both directions
//   Pacer         one direction of one relay: what it has been given and not used yet
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert {

/// Any thread. One number is all its state, the instant at which it was or will be empty: so a change of the
/// rate costs nobody what he has, and a thread pays with one atomic exchange.
class TokenBucket {
 public:
  /// How long a bucket fills that nobody takes from. Less would lose rate to a thread that is late; more
  /// would show within the 10 s over which the rate is promised.
  static constexpr Duration kDepth = 50ms;
  /// What a reservation may catch up with: streams waited, and only the thread was late. With the depth it is
  /// the 2 % of 10 s.
  static constexpr Duration kCatchUp = 150ms;
  static constexpr std::uint64_t kLeastDepth = 1024;  ///< Bytes, whatever the rate.
  static constexpr std::uint64_t kLeastTurn = 512;    ///< Likewise.

  void set_rate(BitRate rate) { rate_.store(rate.value, std::memory_order_relaxed); }
  BitRate rate() const { return {rate_.load(std::memory_order_relaxed)}; }
  bool limited() const { return rate().value != 0; }

  /// What one stream gets before the next has its turn: 5 ms of the rate.
  std::uint64_t turn() const;

  /// At most `want` bytes and at least `least`, or 0. `least` is not above `want`.
  std::uint64_t take(std::uint64_t want, std::uint64_t least, Instant now);
  /// Taken and not used.
  void give_back(std::uint64_t bytes);

  /// Bytes that are taken before they have come.
  struct Reservation {
    std::uint64_t bytes = 0;
    BitRate rate;     ///< At which they come.
    Instant due{};    ///< When all of them have come.
    Duration cost{};  ///< How much longer the bucket is empty for them.
  };
  /// @param late  for how long before `now` the rate may be caught up with: kDepth or kCatchUp.
  Reservation reserve(std::uint64_t bytes, Instant now, Duration late);
  void cancel(const Reservation& reservation);

 private:
  std::int64_t cost_ns(std::uint64_t bytes) const;

  std::atomic<std::uint64_t> rate_{0};                    ///< Bits per second; 0: unlimited.
  std::atomic<std::int64_t> empty_at_ns_{INT64_MIN / 2};  ///< On the steady clock.
};

class RateLimit;

/// A place in the queue of a RateLimit.
class RateWaiter {
 public:
  RateWaiter() = default;
  RateWaiter(const RateWaiter&) = delete;
  RateWaiter& operator=(const RateWaiter&) = delete;
  virtual ~RateWaiter() { leave(); }

  bool waiting() const { return at_ != nullptr; }
  /// Waits no more.
  void leave();

 protected:
  /// Its turn has come, it waits no more: RateLimit::take() gives it something now.
  virtual void handle_turn() = 0;

  std::uint64_t credit_ = 0;  ///< What its latest turns fell short of, bytes: the next is longer by it.

 private:
  friend class RateLimit;
  RateLimit* at_ = nullptr;
  std::uint64_t order_ = 0;  ///< Of its latest turn, unlike any other's; 0: there was none yet.
};

/// Of one thread. Who waits has his turn before all who had theirs later: also after all of them were held up
/// elsewhere, so that nobody gains by coming back first.
class RateLimit {
 public:
  /// @param bucket  shared by all threads (and owners) that hold the same limit together.
  /// @param clock   outlives it.
  RateLimit(boost::asio::io_context& io, const Clock& clock, std::shared_ptr<TokenBucket> bucket);
  ~RateLimit();
  RateLimit(const RateLimit&) = delete;
  RateLimit& operator=(const RateLimit&) = delete;

  bool limited() const { return bucket_->limited(); }
  BitRate rate() const { return bucket_->rate(); }
  std::uint64_t turn() const { return bucket_->turn(); }
  /// In force at once, for those who wait too. With a bucket of several threads: called on each of them; one
  /// that is not learns of it within 250 ms.
  void set_rate(BitRate rate);

  /// @return how much of `want` may move now; 0: the waiter is in the queue.
  std::uint64_t take(std::uint64_t want, RateWaiter& waiter);
  void give_back(std::uint64_t bytes) { bucket_->give_back(bytes); }

  /// Streams that wait at this moment.
  std::size_t waiting() const { return queue_.size(); }
  /// It has held back a stream within the last second.
  bool limiting() const;

 private:
  friend class RateWaiter;
  void enqueue(RateWaiter& waiter);
  static void note_turn(RateWaiter& waiter);
  void arm(Duration late);
  void disarm();
  void wait();
  void handle_timer();
  void serve();

  const Clock& clock_;
  std::shared_ptr<TokenBucket> bucket_;  ///< Shared with the RateLimits of other threads.
  boost::asio::steady_timer timer_;
  std::shared_ptr<RateLimit*> self_;  ///< Shared with the timer's handler; null inside once destroyed.
  std::map<std::uint64_t, RateWaiter*> queue_;        ///< By their latest turns.
  std::optional<TokenBucket::Reservation> reserved_;  ///< For those who wait; the timer runs.
  std::uint64_t bank_ = 0;                            ///< What is left of it while turns are had.
  bool serving_ = false;
  RateWaiter* turn_of_ = nullptr;    ///< Who may take from the bank, once.
  std::optional<Instant> short_at_;  ///< When it last had less than was asked for.
};

/// What the relay does with its local socket.
enum class RelayDirection : std::uint8_t { Read = 0, Write = 1 };

constexpr std::size_t kLimitsOfStream = 4;

/// Null pointers: no such limit. Changed in place, on the thread of its streams.
struct StreamLimits {
  using Limits = std::array<RateLimit*, kLimitsOfStream>;
  std::array<Limits, 2> of{};  ///< By RelayDirection, always in the same order.
  std::array<bool, 2> any{false,
                          false};  ///< Some limit in it has a rate: the one branch of unlimited relays.

  void set(RelayDirection direction, std::size_t place, RateLimit* limit) {
    of[static_cast<std::size_t>(direction)][place] = limit;
  }
  /// After every change of a rate.
  void refresh();
};

/// Queues at each limit by itself: a turn that one of them gives is kept while another makes us wait, so that
/// each shares its rate evenly whatever the others do.
class Pacer {
 public:
  Pacer();
  Pacer(const Pacer&) = delete;
  Pacer& operator=(const Pacer&) = delete;
  virtual ~Pacer() = default;

  /// @return how much of `want` may move now, from all limits; 0: handle_turn() will tell when to ask again.
  std::uint64_t acquire(const StreamLimits::Limits& limits, std::uint64_t want);
  /// Bytes that have moved.
  void spend(std::uint64_t bytes);
  /// Nothing moves at present: others may have what is left.
  void release();
  bool waiting() const;
  /// Waits no more, for nothing.
  void leave();

 protected:
  /// acquire() gives something now.
  virtual void handle_turn() = 0;

 private:
  struct Place final : RateWaiter {
    void handle_turn() override;
    Pacer* pacer = nullptr;
    RateLimit* limit = nullptr;
    void give_back();
    std::uint64_t held = 0;  ///< Given and not moved yet, bytes.
  };
  std::array<Place, kLimitsOfStream> places_;
};

}  // namespace culvert
