// Instants are values that somebody hands in: nothing in base, wire and mux reads a clock.
#pragma once

#include <chrono>

namespace culvert {

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using namespace std::chrono_literals;

/// Where production code gets `now` from; tests and the simulator have their own.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
};

}  // namespace culvert
