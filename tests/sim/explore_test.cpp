// All orders of a small world, not a sample of them: depth first, each run from scratch by its list of
// choices, and no state twice. Behind the last choice nothing goes wrong any more, and everything must come
// to its end.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <unordered_set>

#include "tests/sim/world/choice_world.hpp"
#include "tests/sim/world/failure.hpp"

namespace culvert::sim {
namespace {

struct Choice {
  std::size_t taken;
  std::size_t of;
};

class Exploration {
 public:
  Exploration(const ChoiceBounds& bounds, std::size_t depth) : bounds_(bounds), depth_(depth) {}

  /// @return what broke, with the story that led there; empty when nothing did.
  std::string run() {
    do {
      if (std::string broken = run_once(); !broken.empty()) return broken;
    } while (next());
    return {};
  }

  std::size_t schedules() const { return schedules_; }
  std::size_t states() const { return seen_.size(); }

 private:
  std::string run_once() {
    ChoiceWorld world{bounds_, Random{1}};
    std::size_t made = 0;
    const auto choose = [&](std::size_t n) {
      if (made == choices_.size()) choices_.push_back({0, n});
      return choices_[made++].taken;
    };
    const std::size_t known = choices_.size();
    try {
      for (std::size_t step = 0; step < depth_ && world.step(choose); ++step) {
        // The last choice of the list is the first that is new.
        if (made >= known && made > 0 && !seen_.insert(world.fingerprint() + step).second) return {};
      }
      world.finish();
    } catch (const Failure& failure) {
      return std::string{failure.what()} + "\n" + world.story();
    }
    ++schedules_;
    return {};
  }

  bool next() {
    while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().of) choices_.pop_back();
    if (choices_.empty()) return false;
    ++choices_.back().taken;
    return true;
  }

  const ChoiceBounds bounds_;
  const std::size_t depth_;
  std::vector<Choice> choices_;
  std::unordered_set<std::uint64_t> seen_;
  std::size_t schedules_ = 0;
};

Habits writes(std::size_t frames) {
  Habits habits;
  habits.to_write = frames * kPackBelow;
  habits.write_burst = kPackBelow;  // The smallest payload that may be striped over lanes.
  habits.read_burst = 1 << 20;
  habits.steady = true;
  return habits;
}

std::size_t number_from(const char* variable, std::size_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace

// SIM_EXPLORE_MORE=N explores N choices deeper; each takes about three times as long.
TEST_CASE("Every order of a few frames, two or three lanes and their faults keeps every promise", "[sim]") {
  // Fewer than the least: choices have been lost, and the orders behind them are no longer tried.
  struct Extent {
    std::size_t schedules;
    std::size_t states;
  };
  struct Bounds {
    const char* name;
    ChoiceBounds bounds;
    std::size_t depth;
    Extent least;  ///< About nine tenths of what there was in November 2026.
  };
  const std::size_t more = number_from("SIM_EXPLORE_MORE", 0);
  const Habits one = writes(1);
  const Habits two = writes(2);
  const Habits three = writes(3);
  const Bounds all[] = {
      {"two lanes, no fault", {.lanes = 2, .lanes_up = 2, .agent = three, .gateway = two}, 9, {7500, 11100}},
      {"two lanes, one fault",
       {.lanes = 2, .lanes_up = 2, .faults = 1, .agent = three, .gateway = two},
       6,
       {5000, 6800}},
      {"two lanes, two faults and a dial",
       {.lanes = 2, .lanes_up = 2, .extra_dials = 1, .faults = 2, .agent = two, .gateway = one},
       5,
       {9900, 12500}},
      {"three lanes, one fault",
       {.lanes = 3, .lanes_up = 3, .faults = 1, .agent = three, .gateway = one},
       6,
       {4500, 6300}},
      {"dials that race",
       {.lanes = 3, .extra_dials = 3, .faults = 2, .agent = one, .gateway = one},
       7,
       {5700, 8100}},
  };
  for (const Bounds& each : all) {
    const std::clock_t began = std::clock();
    Exploration exploration{each.bounds, each.depth + more};
    const std::string broken = exploration.run();
    const double took = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
    std::cerr << each.name << ": " << exploration.schedules() << " schedules, " << exploration.states()
              << " states, " << took << " s of CPU\n";
    INFO(each.name);
    CHECK(broken == "");
    CHECK(exploration.schedules() >= each.least.schedules);
    CHECK(exploration.states() >= each.least.states);
  }
}

}  // namespace culvert::sim
