// Bulk beside somebody who waits for answers: on a line whose slowest hop has a queue, and through a session.
#include "tunnel-core/mux/line_queue.hpp"

#include <catch2/catch.hpp>
#include <deque>

#include "tests/unit/mux/raw_peer.hpp"

namespace culvert {
namespace {

constexpr Duration kEmpty = 40ms;

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

Duration from_seconds(double value) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
}

/// A line of 40 ms with one flow, looked at once a round trip; congestion control would put `window` bytes in
/// flight.
struct Line {
  Duration empty = kEmpty;
  double rate = 12.5e6;
  double window = 1e6;
  Duration others{};  ///< What the queue of others adds.
  double carried = 0;
  Duration round_trip = kEmpty;
  Instant now{1h};
  LineQueue queue;

  void run(Duration time) {
    carried = 0;
    const Instant until = now + time;
    while (now < until) {
      const bool held = window >= static_cast<double>(queue.limit());
      const double in_flight = held ? static_cast<double>(queue.limit()) : window;
      round_trip = std::max(empty, from_seconds(in_flight / rate)) + others;
      const double delivered = std::min(rate, in_flight / seconds(round_trip));
      const Duration window_time = std::max<Duration>(round_trip, 10ms);
      carried += delivered * seconds(window_time);
      now += window_time;
      if (held) queue.note_held();
      queue.note_bulk(static_cast<std::size_t>(in_flight), now - empty);
      queue.observe(round_trip, empty, delivered, now);
    }
  }
  double carried_rate(Duration time) {
    run(time);
    return carried / seconds(time);
  }
};

}  // namespace

TEST_CASE("LineQueue: bulk that fills the line's queue is held until the queue is short and the line is full",
          "[mux]") {
  Line line;
  line.run(1s);
  CHECK(line.carried_rate(5s) > 0.98 * line.rate);
  CHECK(line.round_trip <= kEmpty + 10ms);
}

TEST_CASE("LineQueue: on a fast near line the queue is kept as short as its receipts allow", "[mux]") {
  Line line;
  line.empty = 200us;
  line.rate = 1e9;
  line.window = 8e6;
  line.run(1s);
  CHECK(line.carried_rate(2s) > 0.98 * line.rate);
  CHECK(line.round_trip <= 2ms);
}

TEST_CASE("LineQueue: nothing is held on a line whose queue is short", "[mux]") {
  Line line;
  line.window = 450e3;
  line.run(10s);
  CHECK(line.queue.limit() > (1_GiB).value);
  CHECK_FALSE(line.queue.holds());
}

TEST_CASE("LineQueue: a lane whose rate still grows is not held, whatever queues beside it", "[mux]") {
  Line line;
  line.others = 20ms;
  for (line.window = 15e3; line.window < 700e3; line.window *= 1.5) {
    line.run(kEmpty);
    CHECK(line.queue.limit() > (1_GiB).value);
  }
  line.others = {};
  line.window = 1e6;
  line.run(1s);
  CHECK(line.queue.holds());
}

TEST_CASE("LineQueue: a lane that takes back what a loss cost it is held as before", "[mux]") {
  Line line;
  for (line.window = 15e3; line.window < 480e3; line.window *= 1.5) line.run(kEmpty);
  // A loss: less goes out, then more again than in the window before.
  line.window = 250e3;
  line.run(kEmpty);
  REQUIRE(line.queue.limit() > (1_GiB).value);
  line.others = 20ms;
  line.window = 450e3;
  line.run(kEmpty);
  CHECK(line.queue.limit() < (1_GiB).value);
}

TEST_CASE("LineQueue: a lane that begins anew may grow again, whatever it once had", "[mux]") {
  Line line;
  line.window = 450e3;
  line.run(1s);
  line.window = 15e3;
  line.run(20s);
  line.others = 20ms;
  for (line.window = 30e3; line.window < 400e3; line.window *= 1.5) {
    line.run(kEmpty);
    CHECK(line.queue.limit() > (1_GiB).value);
  }
}

TEST_CASE("LineQueue: a line that became faster is filled again, one that became slower queues no longer",
          "[mux]") {
  Line line;
  line.window = 4e6;
  line.run(1s);
  line.rate *= 2;
  line.run(2s);
  CHECK(line.carried_rate(1s) > 0.95 * line.rate);
  line.rate /= 8;
  line.run(2s);
  CHECK(line.round_trip <= kEmpty + 12ms);
  CHECK(line.carried_rate(1s) > 0.95 * line.rate);
}

TEST_CASE("LineQueue: after a pause held bulk goes out a little faster than the line, not all at once",
          "[mux]") {
  Line line;
  line.run(2s);
  REQUIRE(line.queue.limit() < (1_GiB).value);
  line.now += GENERATE(40ms, 200ms);
  constexpr std::size_t kPiece = 16 * 1024;
  double sent = 0;
  for (const Instant until = line.now + 20ms; line.now < until; line.now += 1ms) {
    for (; line.queue.next_bulk() <= line.now; sent += kPiece) line.queue.note_bulk(kPiece, line.now);
  }
  CHECK(sent > line.rate * 0.02);
  CHECK(sent < line.rate * (1.3 * 0.02 + 0.005) + kPiece);
}

TEST_CASE("LineQueue: what went out while nobody asked leaves held bulk no debt", "[mux]") {
  Line line;
  line.run(2s);
  for (int piece = 0; piece < 10'000; ++piece) line.queue.note_bulk(16 * 1024, line.now);
  CHECK(line.queue.next_bulk() < line.now + 10ms);
}

TEST_CASE("LineQueue: bulk that is held no longer goes out at once", "[mux]") {
  Line line;
  line.run(2s);
  REQUIRE(line.queue.limit() < (1_GiB).value);
  line.window = 450e3;
  line.run(5s);
  line.queue.note_bulk(1 << 20, line.now);
  CHECK(line.queue.next_bulk() <= line.now);
}

TEST_CASE("LineQueue: a queue that does not go although bulk is held is somebody else's, and is left alone",
          "[mux]") {
  Line line;
  line.others = 40ms;
  line.run(4s);
  CHECK_FALSE(line.queue.holds());
  Duration held{};
  for (int look = 0; look < 6000; ++look) {
    line.run(50ms);
    if (line.queue.holds()) held += 50ms;
  }
  // Tried again, and less and less: 300 s with pauses of 20 s, 40 s and so on.
  CHECK(held > 1s);
  CHECK(held < 15s);
}

namespace {

/// A session's lane over a line of 40 ms and 12.5 MB/s; congestion control allows 1 MB. The peer grants all
/// there is.
struct FarPeer {
  RawPeer peer;
  std::deque<std::pair<Instant, FrameHeader>> on_the_way;
  std::size_t in_flight = 0;
  Instant line_free{};
  std::uint64_t receipted = 0;
  std::uint64_t bulk_carried = 0;

  FarPeer() { peer.attach(); }

  StreamId open() {
    const auto id = peer.session.open_stream({"target", "", kDefaultWeight}, nullptr, peer.now);
    REQUIRE(id);
    return *id;
  }

  /// For `time`: `bulk` always has more; `asked`, if any, sends 200 bytes whenever its last ones have
  /// arrived.
  /// @return the longest time from there to their receipt.
  Duration run(Duration time, StreamId bulk, std::optional<StreamId> asked) {
    Duration longest{};
    std::optional<Instant> asked_at;
    for (const Instant until = peer.now + time; peer.now < until; peer.now += 1ms) {
      peer.write(bulk, 1 << 20);
      if (asked && !asked_at && peer.write(*asked, 200) == 200) asked_at = peer.now;
      transmit();
      for (; !on_the_way.empty() && on_the_way.front().first <= peer.now; on_the_way.pop_front()) {
        const FrameHeader header = on_the_way.front().second;
        in_flight -= kFrameHeaderSize + header.length;
        if (header.type == FrameType::Open) peer.send_ack(header.stream.value, 0, 64 << 20);
        if (header.type == FrameType::Data) {
          peer.send_ack(header.stream.value, header.offset + header.length, header.offset + (64 << 20));
          if (header.stream == bulk) bulk_carried += header.length;
          if (asked && header.stream == *asked) {
            longest = std::max(longest, peer.now - *asked_at);
            asked_at.reset();
          }
        }
        peer.send_receipt(++receipted);
      }
    }
    return longest;
  }

  void transmit() {
    while (in_flight < 1'000'000) {
      const auto frame = peer.session.poll_transmit(LaneId{1}, peer.now);
      if (!frame) return;
      const auto header = decode_header(frame->head.data());
      if (!is_state_frame(header->type)) continue;
      const std::size_t size = kFrameHeaderSize + header->length;
      in_flight += size;
      line_free = std::max(line_free, peer.now) + from_seconds(static_cast<double>(size) / 12.5e6);
      on_the_way.emplace_back(line_free + kEmpty, *header);
    }
  }
};

}  // namespace

TEST_CASE("Session: bulk leaves the line's queue short while another stream waits for answers", "[mux]") {
  FarPeer far;
  const StreamId bulk = far.open();
  const StreamId asked = far.open();
  far.run(2s, bulk, asked);
  far.bulk_carried = 0;
  CHECK(far.run(3s, bulk, asked) < 60ms);
  CHECK(static_cast<double>(far.bulk_carried) > 0.9 * 3 * 12.5e6);
}

TEST_CASE("Session: bulk that goes out by and by asks for a timer, and goes on when it fires", "[mux]") {
  FarPeer far;
  const StreamId bulk = far.open();
  const StreamId asked = far.open();
  far.run(2s, bulk, asked);
  // Everything has arrived: what may be in flight is free again, and is not sent all at once.
  far.peer.pass(100ms);
  for (; !far.on_the_way.empty(); far.on_the_way.pop_front()) far.peer.send_receipt(++far.receipted);
  far.in_flight = 0;
  far.peer.write(bulk, 1 << 20);
  far.transmit();
  const Instant next = far.peer.session.poll_timeout();
  REQUIRE(next > far.peer.now);
  REQUIRE(next < far.peer.now + 5ms);
  const std::size_t sent = far.in_flight;
  CHECK(sent < 100'000);
  far.peer.now = next;
  far.transmit();
  CHECK(far.in_flight > sent);
}

TEST_CASE("Session: bulk that nobody waits beside is not held", "[mux]") {
  FarPeer far;
  const StreamId bulk = far.open();
  far.run(3s, bulk, std::nullopt);
  CHECK(far.in_flight > 900'000);
}

}  // namespace culvert
