#include "tunnel-core/wire/frame_splitter.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "tests/support/slab_region.hpp"

namespace culvert {
namespace {

void append_frame(Bytes& out, FrameHeader header, std::size_t length) {
  header.length = static_cast<std::uint16_t>(length);
  const std::size_t at = out.size();
  out.resize(at + kFrameHeaderSize + length);
  encode_header(header, out.data() + at);
  for (std::size_t i = 0; i < length; ++i) out[at + kFrameHeaderSize + i] = static_cast<std::byte>(i * 7);
}

struct Fixture {
  SlabRegion region{8};
  SlabPool pool{region.span()};
  FrameSplitter splitter{pool};
  std::vector<std::string> seen;

  Result<void> feed(ByteSpan bytes) {
    const SlabRef slab = pool.allocate();
    std::copy(bytes.begin(), bytes.end(), slab.data());
    return splitter.split(slab, {slab.data(), bytes.size()},
                          [this](const Frame& frame, const SlabRef& in) -> Result<void> {
                            CHECK(frame.payload.data() >= in.data());
                            CHECK(frame.payload.data() + frame.payload.size() <= in.data() + kSlabSize);
                            for (std::size_t i = 0; i < frame.payload.size(); ++i) {
                              REQUIRE(frame.payload[i] == static_cast<std::byte>(i * 7));
                            }
                            seen.push_back(dump(frame.header));
                            return {};
                          });
  }
};

}  // namespace

// docs/protocol.md §3.2
TEST_CASE("FrameSplitter: frames come out the same wherever their bytes are cut", "[wire]") {
  Bytes all;
  append_frame(all, {FrameType::Ping, 0, 0, {}, 1}, 0);
  append_frame(all, {FrameType::Data, 0, 0, StreamId{2}, 0}, 50);
  append_frame(all, {FrameType::Ack, 0, 0, StreamId{2}, 9}, 8);
  append_frame(all, {FrameType::Data, kFlagFin, 0, StreamId{2}, 50}, 0);
  const std::vector<std::string> expected{
      "PING stream=0 offset=1 length=0", "DATA stream=2 offset=0 length=50", "ACK stream=2 offset=9 length=8",
      "DATA stream=2 offset=50 length=0 flags=1"};
  for (std::size_t first = 0; first <= all.size(); ++first) {
    for (std::size_t second = first; second <= all.size(); ++second) {
      Fixture f;
      REQUIRE(f.feed(ByteSpan{all}.first(first)));
      REQUIRE(f.feed(ByteSpan{all}.subspan(first, second - first)));
      REQUIRE(f.feed(ByteSpan{all}.subspan(second)));
      REQUIRE(f.seen == expected);
      REQUIRE(f.pool.in_use() == 0);
    }
  }
}

// docs/protocol.md §3.2
TEST_CASE("FrameSplitter: a full frame may come byte by byte", "[wire]") {
  Bytes all;
  append_frame(all, {FrameType::Data, 0, 0, StreamId{2}, 0}, kMaxPayload);
  append_frame(all, {FrameType::Pong, 0, 0, {}, 3}, 0);
  Fixture f;
  for (const std::byte& b : all) REQUIRE(f.feed({&b, 1}));
  CHECK(f.seen.size() == 2);
  CHECK(f.pool.in_use() == 0);
}

// docs/protocol.md §5.1
TEST_CASE("FrameSplitter: a bad header is refused before its payload is waited for", "[wire]") {
  std::byte header[kFrameHeaderSize];
  encode_header({FrameType::Data, 0, kMaxPayload + 1, StreamId{2}, 0}, header);
  Fixture f;
  REQUIRE(f.feed({header, 5}));
  const auto done = f.feed({header + 5, kFrameHeaderSize - 5});
  REQUIRE_FALSE(done);
  CHECK(done.error().code() == Errc::FrameMalformed);
}

TEST_CASE("FrameSplitter: a cut frame without a free slab is MemoryLimitReached", "[wire]") {
  const SlabRegion region{1};
  SlabPool pool{region.span()};
  FrameSplitter splitter{pool};
  const SlabRef only = pool.allocate();
  const auto done =
      splitter.split(only, {only.data(), 3}, [](const Frame&, const SlabRef&) -> Result<void> { return {}; });
  REQUIRE_FALSE(done);
  CHECK(done.error().code() == Errc::MemoryLimitReached);
}

}  // namespace culvert
