// How long to wait before the gateway is tried again. After a dial that failed: soon after a first one that
// was cut as well, then every 100 ms for 10 s, then each second while streams wait, and up to 10 s while
// nobody does. Beside dials that wait for an answer: every 0.4 s for 10 s, then every 0.7 s or up to 10 s. A
// SYN that was lost is repeated only after 1, 3 and 7 s; neither of the two meets those, so that one goes out
// every 0.2 to 0.4 s.
#pragma once

#include <algorithm>
#include <random>
#include <utility>

#include "tunnel-core/base/time.hpp"

namespace culvert {

class RetryPace {
 public:
  RetryPace() : jitter_(std::random_device{}()) {}

  /// A new outage begins.
  void restart(Instant now) {
    trying_since_ = now;
    first_ = true;
  }
  Duration after_failure(Instant now, bool streams_wait) {
    const Duration soon = std::exchange(first_, false) ? 20ms : 100ms;
    std::uniform_real_distribution<double> around{0.7, 1.3};
    return std::chrono::duration_cast<Duration>(pause(now, streams_wait, soon, 1s) * around(jitter_));
  }
  Duration beside_others(Instant now, bool streams_wait) const {
    return pause(now, streams_wait, 400ms, 700ms);
  }

 private:
  Duration pause(Instant now, bool streams_wait, Duration soon, Duration later) const {
    const Duration tried = now - trying_since_;
    if (tried < 10s) return soon;
    return streams_wait ? later : std::min<Duration>(tried / 10, 10s);
  }

  Instant trying_since_{};
  bool first_ = true;
  std::minstd_rand jitter_;
};

}  // namespace culvert
