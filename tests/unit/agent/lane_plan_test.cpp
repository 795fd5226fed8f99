// How many lanes: the plan against a line that is a formula.
#include "tunnel-agent/lane_plan.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <random>

namespace culvert {
namespace {

/// Lanes come up a while after they are wanted; the line carries what `rate` says for their number.
struct Line {
  explicit Line(std::function<double(std::size_t)> line_rate, std::size_t most = 32)
      : rate(std::move(line_rate)), plan(most) {}

  /// @return the greatest number of lanes wanted meanwhile.
  std::size_t run(Duration time, bool load = true) {
    std::size_t greatest = 0;
    const Instant until = now + time;
    while (now < until) {
      const Duration step = plan.interval();
      now += step;
      if (load) moved += rate(lanes) * std::chrono::duration<double>(step).count();
      wanted = plan.wanted({static_cast<std::uint64_t>(moved), load, 80ms, lanes, full, answers}, now);
      greatest = std::max(greatest, wanted);
      if (wanted > lanes && ++waited * step > 240ms) lanes = wanted;
      if (wanted <= lanes) {
        lanes = wanted;
        waited = 0;
      }
    }
    return greatest;
  }

  void come_back(std::uint64_t backlog_bytes) {
    plan.note_return({static_cast<std::uint64_t>(moved), backlog_bytes > 0, 80ms, lanes}, backlog_bytes, now);
  }

  std::function<double(std::size_t)> rate;
  LanePlan plan;
  Instant now{1h};
  double moved = 0;
  std::size_t lanes = 1;
  std::size_t wanted = 1;
  int waited = 0;
  bool full = false;
  bool answers = false;
};

double lossy(std::size_t lanes) {
  return 1.1e6 * static_cast<double>(lanes);
}

/// What congestion control makes of random loss: each lane's rate is halved now and then and climbs again.
struct Sawtooth {
  explicit Sawtooth(unsigned seed) : random(seed) {}
  double operator()(std::size_t lanes) {
    height.resize(lanes, 0.75);
    double sum = 0;
    for (double& lane : height) {
      if (std::uniform_real_distribution{}(random) < 0.02) lane *= 0.7;  // Each 50 ms: a loss each 2.5 s.
      lane = std::min(lane + 0.006, 1.5);
      sum += lane;
    }
    return 1.4e6 * sum;
  }
  std::minstd_rand random;
  std::vector<double> height;
};

}  // namespace

TEST_CASE("LanePlan: chance on a lossy line does not hide what lanes bring", "[agent]") {
  std::size_t lanes = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    Line line{Sawtooth{seed}};
    line.run(60s);
    INFO("seed " << seed);
    CHECK(line.wanted >= 12);
    lanes += line.wanted;
  }
  CHECK(lanes / 20 >= 26);
}

TEST_CASE("LanePlan: chance on a clean line adds few lanes, and not for long", "[agent]") {
  std::minstd_rand random{1};
  Line line{[&](std::size_t) { return 50e6 * std::uniform_real_distribution{0.9, 1.1}(random); }};
  std::size_t sum = 0;
  for (int second = 0; second < 300; ++second) {
    line.run(1s);
    sum += line.wanted;
  }
  CHECK(sum / 300 <= 2);
}

TEST_CASE("LanePlan: a lossy line, on which each lane brings its share, gets all lanes within 20 s",
          "[agent]") {
  Line line{lossy};
  line.run(20s);
  CHECK(line.wanted == 32);
}

TEST_CASE("LanePlan: lanes so slow that receipts come in bursts are counted as busy between them",
          "[agent]") {
  int sample = 0;
  Line line{
      [&sample](std::size_t lanes) { return ++sample % 3 == 0 ? 0.5e6 * static_cast<double>(lanes) : 0; }};
  line.run(60s);
  CHECK(line.wanted == 32);
}

TEST_CASE("LanePlan: a line that one lane fills keeps one lane, and is tried less and less", "[agent]") {
  Line line{[](std::size_t) { return 50e6; }};
  int tries = 0;
  for (int second = 0; second < 600; ++second) tries += line.run(1s) > 1 ? 1 : 0;
  line.run(1s);
  CHECK(line.wanted == 1);
  CHECK(tries > 1);
  CHECK(tries < 20);
}

TEST_CASE("LanePlan: a line that has been full is tried at once when it moves less than half", "[agent]") {
  double full = 50e6;
  Line line{[&full](std::size_t lanes) { return full > 0 ? full : lossy(lanes); }};
  line.run(40s);
  REQUIRE(line.wanted == 1);
  full = 0;
  line.run(25s);
  CHECK(line.wanted == 32);
}

TEST_CASE("LanePlan: a line whose queue stands is full, and is left alone", "[agent]") {
  Line line{lossy};
  line.full = true;
  CHECK(line.run(60s) == 1);
}

TEST_CASE("LanePlan: one lane more while somebody beside bulk waits for answers", "[agent]") {
  Line line{lossy};
  line.full = line.answers = true;
  CHECK(line.run(10s) == 2);
  line.answers = false;
  line.run(1s);
  CHECK(line.wanted == 1);
}

TEST_CASE("LanePlan: the lane for answers does not count for what lanes bring to bulk", "[agent]") {
  std::size_t spare = 1;
  Line line{[&spare](std::size_t lanes) { return lossy(lanes - std::min(lanes - 1, spare)); }};
  line.answers = true;
  line.run(30s);
  CHECK(line.wanted == 32);
}

TEST_CASE("LanePlan: with two lanes at most, the second is for answers and bulk is not tried on it",
          "[agent]") {
  Line line{lossy, 2};
  line.answers = true;
  line.run(60s);
  CHECK(line.wanted == 2);
  line.answers = false;
  line.run(120s);
  CHECK(line.wanted == 2);  // Bulk's own now.
}

TEST_CASE("LanePlan: who may have one lane keeps one, whoever waits for answers", "[agent]") {
  Line line{lossy, 1};
  line.answers = true;
  CHECK(line.run(60s) == 1);
}

TEST_CASE("LanePlan: what an outage left goes over four lanes at once, which go back after it", "[agent]") {
  Line line{[](std::size_t) { return 100e3; }};
  line.run(5s, false);
  line.come_back(1 << 20);
  line.run(300ms, false);
  CHECK(line.lanes == 4);
  line.run(4s, false);
  CHECK(line.wanted == 1);
}

TEST_CASE("LanePlan: ordinary traffic after an outage that left little adds no lane", "[agent]") {
  Line line{[](std::size_t) { return 150e3; }};
  line.run(5s, false);
  line.come_back(200'000);
  CHECK(line.run(4s, false) == 1);
}

TEST_CASE("LanePlan: a trial that an outage ended is taken up again", "[agent]") {
  Line line{lossy};
  line.run(20s);
  REQUIRE(line.wanted == 32);
  line.run(31s, false);
  REQUIRE(line.wanted == 1);
  while (line.wanted == 1) line.run(50ms);
  line.come_back(0);
  line.lanes = 1;
  line.run(6s);
  CHECK(line.wanted == 32);
}

TEST_CASE("LanePlan: what an outage left at the other end counts when it comes", "[agent]") {
  Line line{[](std::size_t) { return 700e3; }};
  line.run(5s, false);
  line.come_back(0);
  CHECK(line.run(350ms) == 1);
  CHECK(line.run(130ms) == 4);
}

TEST_CASE("LanePlan: what moves more than six round trips after an outage was not left by it", "[agent]") {
  Line line{[](std::size_t) { return 500e3; }};
  line.run(5s, false);
  line.come_back(0);
  CHECK(line.run(2900ms) == 1);
}

TEST_CASE("LanePlan: an outage that left little, or of a near line, adds no lane", "[agent]") {
  Line line{[](std::size_t) { return 10e3; }};
  line.run(5s, false);
  line.come_back(100'000);
  CHECK(line.run(2s) == 1);
  LanePlan near{32};
  near.note_return({0, true, 500us, 1}, 1 << 20, line.now);
  CHECK(near.wanted({1 << 20, true, 500us, 1}, line.now + 50ms) == 1);
}

TEST_CASE("LanePlan: what lanes catch up after an outage is no proof that more of them pay", "[agent]") {
  Line line{[](std::size_t) { return 50e6; }};
  line.run(5s);
  line.come_back(8 << 20);
  CHECK(line.run(2900ms) == 4);
  line.run(1s);
  CHECK(line.wanted <= 2);
  line.run(600s);
  CHECK(line.wanted == 1);
}

TEST_CASE("LanePlan: what an outage left needs no more lanes than there may be", "[agent]") {
  Line line{[](std::size_t) { return 1e6; }, 2};
  line.come_back(1 << 20);
  CHECK(line.run(2s) == 2);
}

TEST_CASE("LanePlan: a lane that moves more than 1 Gbit/s stays alone", "[agent]") {
  Line line{[](std::size_t lanes) { return 200e6 * static_cast<double>(lanes); }};
  CHECK(line.run(60s) == 1);
}

TEST_CASE("LanePlan: lanes are added as long as the sum rises", "[agent]") {
  Line line{[](std::size_t lanes) { return std::min(lossy(lanes), lossy(9)); }};
  line.run(60s);
  CHECK(line.wanted >= 9);
  CHECK(line.wanted <= 13);
}

TEST_CASE("LanePlan: a line that is nearly full gets the few lanes that fill it", "[agent]") {
  Line line{[](std::size_t lanes) { return std::min(lossy(lanes), lossy(8) * 1.2); }};
  line.run(60s);
  CHECK(line.rate(line.lanes) > lossy(9));
  CHECK(line.wanted <= 14);
}

TEST_CASE("LanePlan: the ceiling holds, and one lane means one lane", "[agent]") {
  Line four{lossy, 4};
  CHECK(four.run(60s) == 4);
  Line polite{lossy, 1};
  CHECK(polite.run(60s) == 1);
}

TEST_CASE("LanePlan: an idle line gives its lanes back after 30 s and remembers their number", "[agent]") {
  Line line{lossy};
  line.run(20s);
  line.run(29s, false);
  CHECK(line.wanted == 32);
  line.run(3s, false);
  CHECK(line.wanted == 1);
  line.run(5s);
  CHECK(line.wanted == 32);
}

TEST_CASE("LanePlan: a rate that grows by itself proves nothing", "[agent]") {
  Line line{[](std::size_t) { return 0.0; }};
  double rate = 1e5;
  line.rate = [&](std::size_t) { return rate = std::min(rate * 1.04, 50e6); };  // Slow start.
  line.run(8s);
  CHECK(line.wanted <= 2);
}

TEST_CASE("LanePlan: lanes that do not come up are given up", "[agent]") {
  LanePlan plan{32};
  Instant now{1h};
  std::uint64_t moved = 0;
  std::size_t wanted = 1;
  std::size_t waits = 0;
  for (int i = 0; i < 1000; ++i) {
    now += plan.interval();
    moved += 1'000'000;
    wanted = plan.wanted({moved, true, 20ms, 1, false}, now);
    waits += wanted > 1 ? 1 : 0;
  }
  CHECK(waits > 0);
  CHECK(waits < 950);
}

}  // namespace culvert
