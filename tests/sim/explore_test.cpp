// All orders of a small world, not a sample of them: depth first, each run from scratch by its list of
// choices, and no state twice. The smallest worlds to their very end; larger ones for their first choices,
// behind which nothing goes wrong any more, and everything must come to its end.
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

constexpr std::size_t kNoLimit = ~std::size_t{};
/// Steps. No schedule is that long; one that were would be counted as cut off.
constexpr std::size_t kToTheEnd = 10'000;
/// Where everything is to be explored, a world that outgrows this fails instead of taking for ever.
constexpr std::size_t kMostRuns = 200'000;

class Exploration {
 public:
  /// @param depth  in steps; behind it a schedule goes on in one order. @param most_runs  then it gives up.
  Exploration(const ChoiceBounds& bounds, std::size_t depth, std::size_t most_runs = kNoLimit)
      : bounds_(bounds), depth_(depth), most_runs_(most_runs) {}

  /// @return what broke, with the story that led there; empty when nothing did.
  std::string run() {
    do {
      if (runs_++ == most_runs_) {
        gave_up_ = true;
        return {};
      }
      if (std::string broken = run_once(); !broken.empty()) return broken;
    } while (next());
    return {};
  }

  std::size_t schedules() const { return schedules_; }
  std::size_t states() const { return seen_.size(); }
  /// Nothing was left out: no schedule met the depth, and each choice was followed.
  bool exhaustive() const { return cut_off_ == 0 && !gave_up_; }

  std::string summary() const {
    std::string text = std::to_string(schedules_) + " schedules to the end, " + std::to_string(joined_) +
                       " into a state that was known, " + std::to_string(seen_.size()) + " states; ";
    if (gave_up_) return text + "gave up: not all were explored";
    if (cut_off_ == 0) return text + "exhaustive: no bound cut a schedule off";
    return text + std::to_string(cut_off_) + " went on in one order behind step " + std::to_string(depth_);
  }

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
        if (made >= known && made > 0 && !seen_.insert(world.fingerprint() + step).second) {
          ++joined_;
          return {};
        }
      }
      if (!world.is_over()) ++cut_off_;
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
  const std::size_t most_runs_;
  std::vector<Choice> choices_;
  std::unordered_set<std::uint64_t> seen_;
  std::size_t runs_ = 0;
  std::size_t schedules_ = 0;
  std::size_t joined_ = 0;
  std::size_t cut_off_ = 0;
  bool gave_up_ = false;
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

/// Fewer than the least: choices have been lost, and the orders behind them are no longer tried.
struct Extent {
  std::size_t schedules;
  std::size_t states;
};

/// Says how far it came, too.
void explore(const char* name, Exploration& exploration, const Extent& least) {
  const std::clock_t began = std::clock();
  const std::string broken = exploration.run();
  const double took = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  std::cerr << name << ": " << exploration.summary() << "; " << took << " s of CPU\n";
  CHECK(broken == "");
  CHECK(exploration.schedules() >= least.schedules);
  CHECK(exploration.states() >= least.states);
}

}  // namespace

// SIM_EXPLORE_MORE=N explores N choices deeper; each takes about three times as long.
TEST_CASE("Every order of a few frames, two or three lanes and their faults keeps every promise", "[sim]") {
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
    INFO(each.name);
    Exploration exploration{each.bounds, each.depth + more};
    explore(each.name, exploration, each.least);
  }
}

// Nothing is sampled and nothing is cut off: which bytes arrive next, which end's timer goes off, and where
// the fault falls, until no stream is left and nothing is on its way. With SIM_EXPLORE_MORE=1 the larger
// worlds, too, however long they take.
TEST_CASE("Every order of a frame each way, of timers and one fault, keeps every promise to the end",
          "[sim]") {
  struct Bounds {
    const char* name;
    ChoiceBounds bounds;
    Extent least;
    bool large = false;
  };
  const bool all_of_them = number_from("SIM_EXPLORE_MORE", 0) > 0;
  const auto world = [](std::size_t there, std::size_t back, std::size_t faults, std::size_t early) {
    return ChoiceBounds{.lanes = 2,
                        .lanes_up = 2,
                        .faults = faults,
                        .agent = writes(there),
                        .gateway = writes(back),
                        .room = 1,  // So that each end needs both lanes for two frames.
                        .gathers = true,
                        .timers = true,
                        .early_timers = early};
  };
  ChoiceBounds end_apart = world(1, 1, 1, 0);
  end_apart.gathers = false;
  const Bounds all[] = {
      {"a frame each way, one fault", world(1, 1, 1, 0), {1500, 5100}},
      {"a frame each way, a timer that is early", world(1, 1, 0, 1), {2800, 8800}},
      {"two frames there, one back, one fault", world(2, 1, 1, 0), {125'000, 386'000}},
      {"a frame each way and the ends apart, one fault", end_apart, {1, 1}, true},
      {"a frame each way, one fault, a timer that is early", world(1, 1, 1, 1), {1, 1}, true},
      {"a frame each way, two timers that are early", world(1, 1, 0, 2), {1, 1}, true},
      {"two frames each way, one fault", world(2, 2, 1, 0), {1, 1}, true},
  };
  for (const Bounds& each : all) {
    if (each.large && !all_of_them) continue;
    INFO(each.name);
    Exploration exploration{each.bounds, kToTheEnd, all_of_them ? kNoLimit : kMostRuns};
    explore(each.name, exploration, each.least);
    CHECK(exploration.exhaustive());
  }
}

}  // namespace culvert::sim
