// The simulated world of tests/sim with its timetable, whose every decision (what happens to lanes, what
// applications do, where bytes are cut) is taken by the input as long as it lasts. The oracles are the
// simulator's.
#include <cstdio>
#include <cstdlib>

#include "tests/sim/world/simulation.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace culvert;
  // Small worlds: many of them find more than a few large ones.
  constexpr sim::Scale kScale{.most_bytes = 20'000, .most_streams = 6, .most_memory_mib = 1};
  sim::Simulation simulation{sim::Random{1, std::as_bytes(std::span{data, size})}, kScale};
  if (const auto broken = simulation.run()) {
    std::fprintf(stderr, "broken promise: %s\n", broken->c_str());
    std::abort();
  }
  return 0;
}
