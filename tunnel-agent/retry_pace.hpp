// How long to wait before the gateway is tried again: at once after a cut, soon after a first dial that was
// cut as well, then every 100 ms for 10 s, then each second while streams wait, and up to 10 s while nobody
// does.
#pragma once

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
  Duration next(Instant now, bool streams_wait) {
    const Duration tried = now - trying_since_;
    Duration pause = std::exchange(first_, false) ? 20ms : 100ms;
    if (tried >= 10s) pause = streams_wait ? Duration{1s} : std::min<Duration>(tried / 10, 10s);
    std::uniform_real_distribution<double> around{0.7, 1.3};
    return std::chrono::duration_cast<Duration>(pause * around(jitter_));
  }

 private:
  Instant trying_since_{};
  bool first_ = true;
  std::minstd_rand jitter_;
};

}  // namespace culvert
