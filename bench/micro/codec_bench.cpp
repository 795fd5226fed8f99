// What it costs to write, read and cut frames.
#include <benchmark/benchmark.h>

#include <array>

#include "tests/support/slab_region.hpp"
#include "tunnel-core/wire/frame.hpp"
#include "tunnel-core/wire/frame_splitter.hpp"
#include "tunnel-core/wire/open_info.hpp"

namespace culvert::bench {
namespace {

void encode_header_of_data(benchmark::State& state) {
  std::array<std::byte, kFrameHeaderSize> out;
  FrameHeader header{FrameType::Data, 0, kMaxPayload, StreamId{4}, 0};
  for (auto _ : state) {
    header.offset += kMaxPayload;
    encode_header(header, out.data());
    benchmark::DoNotOptimize(out);
  }
}
BENCHMARK(encode_header_of_data);

void decode_header_of_data(benchmark::State& state) {
  std::array<std::byte, kFrameHeaderSize> in;
  encode_header({FrameType::Data, 0, kMaxPayload, StreamId{4}, 1 << 20}, in.data());
  for (auto _ : state) {
    benchmark::DoNotOptimize(in);
    auto header = decode_header(in.data());
    benchmark::DoNotOptimize(header);
  }
}
BENCHMARK(decode_header_of_data);

void encode_open_tlvs(benchmark::State& state) {
  const OpenInfo info{"replication", "192.0.2.7:31031", kDefaultWeight};
  for (auto _ : state) {
    Bytes tlvs = encode_open(info);
    benchmark::DoNotOptimize(tlvs);
  }
}
BENCHMARK(encode_open_tlvs);

/// A record of frames with `range` bytes of payload each, handed over in pieces that cut the last frame or
/// not.
void split(benchmark::State& state, std::size_t cut) {
  SlabRegion region{4};
  SlabPool pool{region.span()};
  FrameSplitter splitter{pool};
  const SlabRef slab = pool.allocate();
  const auto payload = static_cast<std::size_t>(state.range(0));
  const std::size_t frame = kFrameHeaderSize + payload;
  const std::size_t count = kSlabSize / frame;
  for (std::size_t i = 0; i < count; ++i) {
    encode_header({FrameType::Data, 0, static_cast<std::uint16_t>(payload), StreamId{4}, i * payload},
                  slab.data() + i * frame);
  }
  std::size_t handled = 0;
  const auto handle = [&](const Frame& found, const SlabRef&) {
    handled += found.payload.size();
    return Result<void>{};
  };
  const ByteSpan all{slab.data(), count * frame};
  for (auto _ : state) {
    auto first = splitter.split(slab, all.first(all.size() - cut), handle);
    auto rest = splitter.split(slab, all.last(cut), handle);
    benchmark::DoNotOptimize(first);
    benchmark::DoNotOptimize(rest);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(handled / payload));
}
void split_whole_frames(benchmark::State& state) {
  split(state, 0);
}
void split_with_a_cut_frame(benchmark::State& state) {
  split(state, 8);
}
BENCHMARK(split_whole_frames)->Arg(64)->Arg(1024)->Arg(kMaxPayload);
BENCHMARK(split_with_a_cut_frame)->Arg(64)->Arg(kMaxPayload);

}  // namespace
}  // namespace culvert::bench

BENCHMARK_MAIN();
