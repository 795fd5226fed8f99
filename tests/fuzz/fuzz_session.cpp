// Two sessions and several lanes between them. The input picks everything: which connection delivers next,
// which dial is answered, where a cut falls, which lane stalls or is given back and by whom, and how the
// streams' sockets behave. Once it is used up nothing goes wrong any more, and every stream has to come to
// its end.
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "tests/sim/world/choice_world.hpp"
#include "tests/sim/world/failure.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace culvert;
  sim::ByteScript script{std::as_bytes(std::span{data, size})};
  const auto choose = [&script](std::size_t n) { return script.below(n); };
  sim::ChoiceBounds bounds;
  bounds.lanes = 1 + choose(4);
  bounds.lanes_up = choose(bounds.lanes + 1);
  bounds.extra_dials = 40;
  bounds.faults = 60;
  bounds.streams = 1 + choose(4);
  bounds.most_bytes = 12'000;
  bounds.cut_anywhere = true;
  const std::uint64_t habits_seed = choose(65536);
  std::optional<sim::ChoiceWorld> world;
  try {
    world.emplace(bounds, sim::Random{habits_seed});
    while (!script.exhausted() && world->step(choose)) {
    }
    world->finish();
  } catch (const sim::Failure& failure) {
    std::fprintf(stderr, "%sbroken promise: %s\n", world ? world->story().c_str() : "", failure.what());
    std::abort();
  }
  return 0;
}
