#include "tunnel-core/mux/receive_buffer.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "tests/support/slab_region.hpp"
#include "tunnel-core/base/limits.hpp"

namespace culvert {
namespace {

struct Fixture {
  SlabRegion region{512};
  SlabPool pool{region.span()};
  ReceiveBuffer buffer{pool};
  std::uint64_t taken = 0;
  std::uint64_t wrong_bytes = 0;

  static std::byte byte_at(std::uint64_t offset) {
    return static_cast<std::byte>((offset * 0x9e3779b97f4a7c15) >> 56);
  }

  /// A frame's payload as it arrives: in a slab of its own, behind a header. `wrong` spoils its bytes.
  Result<void> insert(std::uint64_t offset, std::size_t n, std::uint64_t max_bytes, bool wrong = false) {
    const SlabRef slab = pool.allocate();
    std::byte* const data = slab.data() + kFrameHeaderSize;
    for (std::size_t i = 0; i < n; ++i) data[i] = wrong ? ~byte_at(offset + i) : byte_at(offset + i);
    return buffer.insert(offset, {data, n}, slab, max_bytes);
  }

  void consume(std::uint64_t most) {
    ByteSpan spans[4];
    const std::size_t count = buffer.readable(spans);
    std::size_t n = 0;
    for (std::size_t i = 0; i < count; ++i) {
      for (const std::byte b : spans[i]) {
        if (n == most) break;
        wrong_bytes += b == byte_at(taken++) ? 0 : 1;
        ++n;
      }
    }
    buffer.consume(n);
  }
  /// All that is ready, and every byte so far was the right one.
  void consume_all() {
    while (buffer.received() > buffer.accepted()) consume(~std::uint64_t{});
    CHECK(wrong_bytes == 0);
  }
};

}  // namespace

// docs/protocol.md §8.5
TEST_CASE("ReceiveBuffer: one-byte frames in reverse order keep to the window and two slabs", "[mux]") {
  Fixture f;
  constexpr std::uint64_t kWindow = 64 * 1024;
  for (std::uint64_t i = kWindow; i-- > 0;) {
    REQUIRE(f.insert(i, 1, kWindow));
    REQUIRE(f.buffer.allocated_bytes() <= kWindow + kSlabSize);
    REQUIRE(f.buffer.gaps() <= 1);
  }
  CHECK(f.buffer.received() == kWindow);
  f.consume_all();
  CHECK(f.taken == kWindow);
  CHECK(f.pool.in_use() == 0);
}

// docs/protocol.md §8.5
TEST_CASE("ReceiveBuffer: a full payload keeps its slab, in whatever order it arrives", "[mux]") {
  Fixture f;
  for (const std::uint64_t i : {2U, 0U, 1U, 3U})
    REQUIRE(f.insert(i * kMaxPayload, kMaxPayload, 8 * kSlabSize));
  CHECK(f.pool.in_use() == 4);
  CHECK(f.buffer.received() == 4 * kMaxPayload);
  f.consume_all();
  CHECK(f.pool.in_use() == 0);
}

// docs/protocol.md §6.3
TEST_CASE("ReceiveBuffer: of overlapping copies the first counts", "[mux]") {
  Fixture f;
  REQUIRE(f.insert(100, 50, 65536));
  REQUIRE(f.insert(300, 15000, 65536));
  REQUIRE(f.insert(90, 400, 65536));
  REQUIRE(f.insert(100, 50, 65536, true));
  REQUIRE(f.insert(300, 190, 65536, true));
  REQUIRE(f.insert(0, 120, 65536));
  CHECK(f.buffer.received() == 15300);
  CHECK(f.buffer.gaps() == 0);
  REQUIRE(f.insert(0, 15300, 65536, true));
  f.consume_all();
  CHECK(f.taken == 15300);
}

// docs/protocol.md §8.5
TEST_CASE("ReceiveBuffer: gaps are runs of bytes, however many pieces they are in", "[mux]") {
  Fixture f;
  REQUIRE(f.insert(10, 15000, 200'000));
  REQUIRE(f.insert(15010, kMaxPayload, 200'000));
  CHECK(f.buffer.gaps() == 1);
  REQUIRE(f.insert(50000, 1, 200'000));
  CHECK(f.buffer.gaps() == 2);
  REQUIRE(f.insert(0, 10, 200'000));
  CHECK(f.buffer.gaps() == 1);
  f.consume_all();
  CHECK(f.taken == 15010 + kMaxPayload);
}

// docs/protocol.md §6.3 and §8.5
TEST_CASE("ReceiveBuffer: any mix of sizes, orders and copies keeps to window, order and memory", "[mux]") {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    INFO("seed " << seed);
    Fixture f;
    std::mt19937_64 random{seed};
    const std::uint64_t window = 8192 << random() % 6;
    constexpr std::uint64_t kTotal = 600'000;
    while (f.taken < kTotal) {
      const std::uint64_t limit = std::min(f.taken + window, kTotal);
      const std::uint64_t from = f.taken > 5000 ? f.taken - 5000 : 0;
      const std::uint64_t offset = random() % 3 == 0 ? f.buffer.received() : from + random() % (limit - from);
      const std::uint64_t most = random() % 2 == 0 ? kMaxPayload : 1 + random() % 3000;
      const std::uint64_t n = std::min(most, limit - std::min(limit, offset));
      if (n > 0) REQUIRE(f.insert(offset, n, window));
      // Two slabs: a window may begin and end inside a page.
      REQUIRE(f.buffer.allocated_bytes() < window + 2 * kSlabSize);
      REQUIRE(f.pool.in_use_bytes() <= f.buffer.allocated_bytes() + kSlabSize);
      if (random() % 4 == 0) f.consume(random() % (2 * window));
    }
    f.consume_all();
    CHECK(f.pool.in_use() == 0);
  }
}

TEST_CASE("ReceiveBuffer: a used-up pool is MemoryLimitReached at whichever slab it ends", "[mux]") {
  for (std::size_t slabs = 1; slabs < 12; ++slabs) {
    const SlabRegion region{slabs};
    SlabPool pool{region.span()};
    bool refused = false;
    {
      ReceiveBuffer buffer{pool};
      for (std::uint64_t i = 0; i < 12 && !refused; ++i) {
        const SlabRef slab = pool.allocate();
        if (!slab) {
          refused = true;
          break;
        }
        const auto done = buffer.insert(i * 20'000, {slab.data(), i % 2 == 0 ? 16000U : 3000U}, slab, 30'000);
        if (!done) CHECK(done.error().code() == Errc::MemoryLimitReached);
        refused = !done;
      }
    }
    CHECK(refused);
    CHECK(pool.in_use() == 0);
  }
}

TEST_CASE("ReceiveBuffer: what is dropped was not accepted", "[mux]") {
  Fixture f;
  REQUIRE(f.insert(0, 1000, 65536));
  f.consume(10);
  f.buffer.clear();
  CHECK(f.buffer.accepted() == 10);
  CHECK(f.pool.in_use() == 0);
}

}  // namespace culvert
