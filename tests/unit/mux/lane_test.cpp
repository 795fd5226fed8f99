// What a lane makes of its receipts: the line's own round trip, and whether the line is full.
#include "tunnel-core/mux/lane.hpp"

#include <catch2/catch.hpp>
#include <deque>

#include "tests/support/slab_region.hpp"

namespace culvert {
namespace {

constexpr Duration kLine = 40ms;

/// A lane over a line of 40 ms that takes `rate` bytes a second, from a source that never runs dry. `queued`
/// bytes are always before the line, in its queue or at this end.
void run(Lane& lane, double rate, std::size_t queued, Duration time, Instant& now) {
  const FrameHeader frame{FrameType::Data, 0, 1000, 1, 0};
  const std::size_t size = kFrameHeaderSize + frame.length;
  const auto in_flight =
      static_cast<std::size_t>(rate * std::chrono::duration<double>(kLine).count()) + queued;
  const auto each = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(double(size) / rate));
  std::deque<Instant> receipts;
  Instant latest = now;
  std::uint64_t receipted = 0;
  for (const Instant until = now + time; now < until; now += 1ms) {
    while (receipts.size() * size < in_flight) {
      lane.note_sent(frame, now);
      latest = std::max(latest + each, now + kLine);
      receipts.push_back(latest);
    }
    const std::uint64_t before = receipted;
    for (; !receipts.empty() && receipts.front() <= now; receipts.pop_front()) ++receipted;
    if (receipted > before) REQUIRE(lane.handle_receipt(receipted, now, [](const FrameHeader&) {}));
  }
}

}  // namespace

TEST_CASE("Lane: what waits at this end of a slow lane is no queue of the line", "[mux]") {
  SlabRegion region{64};
  SlabPool slabs{region.span()};
  Instant now{1h};
  Lane lane{LaneId{1}, slabs, now};
  run(lane, 200e3, 0, 200ms, now);
  REQUIRE_FALSE(lane.queue_stands());
  Lane slow{LaneId{2}, slabs, now};
  slow.measure(now, now + kLine);
  // Twice 16 KiB, the least that is sealed ahead and that the kernel may hold: 160 ms.
  run(slow, 200e3, 32 * 1024, 5s, now);
  CHECK(slow.least_round_trip() > 3 * kLine);
  CHECK(slow.line_round_trip() < kLine + 10ms);
  CHECK_FALSE(slow.queue_stands());
}

TEST_CASE("Lane: one that has long been idle still knows the round trip of its line", "[mux]") {
  SlabRegion region{64};
  SlabPool slabs{region.span()};
  Instant now{1h};
  Lane lane{LaneId{1}, slabs, now};
  run(lane, 2e6, 0, 200ms, now);
  for (int ping = 0; ping < 10'000; ++ping, now += 500ms) lane.measure(now - kLine, now);
  CHECK(lane.line_round_trip() >= kLine);
  CHECK(lane.line_round_trip() < kLine + 1ms);
}

TEST_CASE("Lane: a queue that stands in the line is seen, however slow the line is", "[mux]") {
  for (const double rate : {200e3, 2e6, 50e6}) {
    SlabRegion region{64};
    SlabPool slabs{region.span()};
    Instant now{1h};
    Lane lane{LaneId{1}, slabs, now};
    lane.measure(now, now + kLine);
    const auto queue = static_cast<std::size_t>(rate * 0.03);
    run(lane, rate, queue + lane.seal_budget() + lane.kernel_budget(), 5s, now);
    INFO("rate " << rate);
    CHECK(lane.queue_stands());
  }
}

}  // namespace culvert
