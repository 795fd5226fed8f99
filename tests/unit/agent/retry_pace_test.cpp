#include "tunnel-agent/retry_pace.hpp"

#include <catch2/catch.hpp>

using namespace culvert;

namespace {

/// Jitter is three tenths either way.
bool about(Duration pause, Duration wanted) {
  return pause >= wanted * 7 / 10 && pause <= wanted * 13 / 10;
}

}  // namespace

TEST_CASE(
    "RetryPace: a first dial that was cut as well is repeated soon, the next ones every 100 ms for 10 s",
    "[agent]") {
  const Instant start{1h};
  RetryPace pace;
  pace.restart(start);
  CHECK(about(pace.after_failure(start, true), 20ms));
  CHECK(about(pace.after_failure(start + 20ms, true), 100ms));
  CHECK(about(pace.after_failure(start + 9s, false), 100ms));
  pace.restart(start + 1min);
  CHECK(about(pace.after_failure(start + 1min, true), 20ms));
}

TEST_CASE("RetryPace: after 10 s each second while streams wait, and up to 10 s while nobody does",
          "[agent]") {
  const Instant start{1h};
  RetryPace pace;
  pace.restart(start);
  static_cast<void>(pace.after_failure(start, true));
  CHECK(about(pace.after_failure(start + 10s, true), 1s));
  CHECK(about(pace.after_failure(start + 1h, true), 1s));
  CHECK(about(pace.after_failure(start + 20s, false), 2s));
  CHECK(about(pace.after_failure(start + 1h, false), 10s));
}

TEST_CASE(
    "RetryPace: beside dials that wait one more starts every 0.4 s, after 10 s every 0.7 s while streams "
    "wait",
    "[agent]") {
  const Instant start{1h};
  RetryPace pace;
  pace.restart(start);
  CHECK(pace.beside_others(start, true) == 400ms);
  CHECK(pace.beside_others(start + 9s, false) == 400ms);
  CHECK(pace.beside_others(start + 10s, true) == 700ms);
  CHECK(pace.beside_others(start + 1h, true) == 700ms);
  CHECK(pace.beside_others(start + 20s, false) == 2s);
  CHECK(pace.beside_others(start + 1h, false) == 10s);
}
