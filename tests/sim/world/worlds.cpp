#include "tests/sim/world/worlds.hpp"

#include "tests/sim/world/hostile_world.hpp"
#include "tests/sim/world/simulation.hpp"

namespace culvert::sim {
namespace {

constexpr Scale kSmall{.most_bytes = 20'000, .most_streams = 6, .most_memory_mib = 2};

}  // namespace

WorldReport run_seed(std::uint64_t seed) {
  WorldReport report;
  if (seed % 10 == 9) {
    HostileWorld world{Random{seed}};
    report.broken = world.run();
    report.streams = world.streams();
    return report;
  }
  Simulation simulation{Random{seed}, seed % 10 == 0 ? Scale{} : kSmall};
  report.broken = simulation.run();
  report.streams = simulation.streams();
  report.carried_bytes = simulation.carried_bytes();
  report.cuts = simulation.cuts();
  return report;
}

}  // namespace culvert::sim
