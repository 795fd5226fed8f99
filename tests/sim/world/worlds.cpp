#include "tests/sim/world/worlds.hpp"

#include "tests/sim/world/simulation.hpp"

namespace culvert::sim {
namespace {

constexpr Scale kSmall{.most_bytes = 20'000, .most_streams = 6, .most_memory_mib = 2};

}  // namespace

WorldReport run_seed(std::uint64_t seed) {
  Simulation simulation{Random{seed}, seed % 10 == 0 ? Scale{} : kSmall};
  WorldReport report{.broken = simulation.run()};
  report.streams = simulation.streams();
  report.carried_bytes = simulation.carried_bytes();
  report.cuts = simulation.cuts();
  return report;
}

}  // namespace culvert::sim
