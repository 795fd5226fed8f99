// What it costs to choose the next frame: with more busy streams, and with idle ones beside, which must cost
// nothing.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/micro/session_pair.hpp"

namespace culvert::bench {
namespace {

constexpr std::size_t kPiece = 64 * 1024;

/// One frame of every so many busy streams, over and over.
void next_frame(benchmark::State& state) {
  SessionPair pair;
  std::vector<StreamId> busy;
  for (std::int64_t i = 0; i < state.range(0); ++i) busy.push_back(pair.open());
  for (std::int64_t i = 0; i < state.range(1); ++i) pair.open();
  pair.pass(std::chrono::seconds{3});
  std::size_t frames = 0;
  for (auto _ : state) {
    for (const StreamId stream : busy) pair.write(stream, kPiece);
    frames += pair.carry();
    for (const StreamId stream : busy) pair.read(stream);
    pair.pass(std::chrono::microseconds{100});
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(frames));
}
BENCHMARK(next_frame)->ArgNames({"busy", "idle"})->ArgsProduct({{1, 11, 200}, {0, 5000}});

/// A message of 64 bytes while bulk of another stream waits: sparse streams go first.
void message_beside_bulk(benchmark::State& state) {
  SessionPair pair;
  const StreamId bulk = pair.open();
  const StreamId small = pair.open();
  for (auto _ : state) {
    pair.write(bulk, kPiece);
    pair.write(small, 64);
    pair.carry();
    pair.read(small);
    pair.read(bulk);
    pair.pass(std::chrono::microseconds{100});
  }
}
BENCHMARK(message_beside_bulk);

}  // namespace
}  // namespace culvert::bench
