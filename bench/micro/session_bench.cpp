// Both ends of a session without sockets and TLS: bytes through a stream, and streams opened and closed. One
// copy of every byte is the pair's own, where TLS would open a record.
#include <benchmark/benchmark.h>

#include "bench/micro/session_pair.hpp"

namespace culvert::bench {
namespace {

/// Pieces of `range` bytes through one stream, acknowledged and receipted.
void bytes_through_a_stream(benchmark::State& state) {
  SessionPair pair;
  const StreamId stream = pair.open();
  std::size_t bytes = 0;
  for (auto _ : state) {
    pair.write(stream, static_cast<std::size_t>(state.range(0)));
    pair.carry();
    bytes += pair.read(stream);
    pair.pass(std::chrono::microseconds{50});
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(bytes_through_a_stream)->Arg(64)->Arg(4096)->Arg(256 * 1024);

/// OPEN to forgotten, both ends, beside so many idle streams.
void open_and_close(benchmark::State& state) {
  SessionPair pair;
  for (std::int64_t i = 0; i < state.range(0); ++i) pair.open();
  for (auto _ : state) {
    const StreamId stream = pair.open();
    pair.close(stream);
    pair.pass(std::chrono::microseconds{100});
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(open_and_close)->ArgName("idle")->Arg(0)->Arg(5000);

/// The timers of a session whose streams are all idle.
void timeout_with_idle_streams(benchmark::State& state) {
  SessionPair pair;
  for (std::int64_t i = 0; i < state.range(0); ++i) pair.open();
  pair.pass(std::chrono::seconds{2});
  pair.pass(std::chrono::seconds{2});
  for (auto _ : state) pair.pass(std::chrono::milliseconds{10});
}
BENCHMARK(timeout_with_idle_streams)->ArgName("idle")->Arg(0)->Arg(5000);

}  // namespace
}  // namespace culvert::bench
