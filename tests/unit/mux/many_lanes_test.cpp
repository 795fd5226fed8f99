// Several lanes: which one takes a frame, what happens to a stalled one, how one is given back.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>

#include "tests/unit/mux/raw_peer.hpp"

namespace culvert {
namespace {

std::size_t bytes_in(const std::vector<SentFrame>& frames) {
  std::size_t n = 0;
  for (const SentFrame& frame : frames) n += frame.payload.size();
  return n;
}

std::vector<std::uint32_t> order(RawPeer& peer) {
  std::vector<std::uint32_t> ids;
  for (const LaneId id : peer.session.lanes_by_delivery()) ids.push_back(id.value);
  return ids;
}

/// A stream whose OPEN is settled, and lanes 1 to n whose receipts take as long as told. The slower ones are
/// measured first: a better lane would leave them nothing.
struct Lanes {
  explicit Lanes(const std::vector<Duration>& round_trips, bool drain = true) {
    sent.assign(round_trips.size() + 1, 0);
    std::vector<std::uint32_t> slowest_first;
    for (std::uint32_t lane = 1; lane <= round_trips.size(); ++lane) slowest_first.push_back(lane);
    std::ranges::stable_sort(slowest_first, std::greater{},
                             [&](std::uint32_t lane) { return round_trips[lane - 1]; });
    const std::uint32_t first = slowest_first.front();
    for (const std::uint32_t lane : slowest_first) {
      peer.attach(lane);
      if (lane == first) {
        stream = peer.session.open_stream({"target", "", kDefaultWeight}, nullptr, peer.now).value();
        peer.take(lane);
        peer.send_ack(stream.value, 0, std::uint64_t{1} << 24, 0, lane);
        peer.session.release_held();
        peer.take(lane);
        sent[lane] = 2;  // OPEN and ACK.
        peer.pass(round_trips[lane - 1]);
        peer.send_receipt(2, lane);
      }
      for (int i = 0; i < 20; ++i) round(lane, round_trips[lane - 1]);
    }
    while (drain && peer.session.stream_stats(1)[0].backlog_bytes > 0) {
      for (const std::uint32_t lane : slowest_first) settle(take(lane), lane, round_trips[lane - 1]);
    }
  }

  /// One frame over the lane while more waits, and its receipt after the round trip.
  void round(std::uint32_t lane, Duration round_trip) {
    peer.write(stream, accepted == 0 ? 3 * kMaxPayload : kMaxPayload);
    std::vector<SentFrame> frames;
    while (frames.empty()) {
      const auto frame = peer.session.poll_transmit(LaneId{lane}, peer.now);
      REQUIRE(frame);
      const auto header = decode_header(frame->head.data());
      if (is_state_frame(header->type)) ++sent[lane];
      if (header->type == FrameType::Data) frames.push_back({*header, Bytes(header->length)});
    }
    settle(frames, lane, round_trip);
  }

  void settle(const std::vector<SentFrame>& frames, std::uint32_t lane, Duration round_trip) {
    peer.pass(round_trip);
    peer.send_receipt(sent[lane], lane);
    accepted += bytes_in(frames);
    peer.send_ack(stream.value, accepted, std::uint64_t{1} << 24, 0, lane);
  }

  /// All state frames that the lane takes now.
  std::vector<SentFrame> take(std::uint32_t lane) {
    auto frames = peer.take(lane);
    std::erase_if(frames, [](const SentFrame& frame) { return !is_state_frame(frame.header.type); });
    sent[lane] += frames.size();
    return frames;
  }

  RawPeer peer{{.memory = 64_MiB}};
  StreamId stream{};
  std::vector<std::uint64_t> sent;
  std::uint64_t accepted = 0;
};

}  // namespace

// docs/protocol.md §9
TEST_CASE("Lanes: the one expected to deliver first is served first", "[mux]") {
  Lanes lanes{{80ms, 10ms, 40ms}, false};
  CHECK(order(lanes.peer) == std::vector<std::uint32_t>{2, 3, 1});
}

// docs/protocol.md §9
TEST_CASE("Lanes: what queues on a lane delays its turn", "[mux]") {
  Lanes lanes{{20ms, 10ms}};
  CHECK(order(lanes.peer).front() == 2);
  lanes.peer.write(lanes.stream, 20 * kMaxPayload);
  CHECK(lanes.peer.take(FrameType::Data, 2).size() > 10);
  CHECK(order(lanes.peer).front() == 1);
}

TEST_CASE("Lanes: bytes to be sent again never wait for each other's better lane", "[mux]") {
  Lanes lanes{{10ms, 10ms, 10ms}};
  RawPeer& peer = lanes.peer;
  // A near line with little rate: to each lane, the other one would deliver a last byte sooner than it a
  // frame.
  peer.pass(600ms, false);
  std::vector<std::pair<std::uint32_t, FrameHeader>> pings;
  for (const std::uint32_t lane : {1U, 2U, 3U})
    pings.emplace_back(lane, peer.take(FrameType::Ping, lane).at(0).header);
  peer.pass(1ms);
  for (const auto& [lane, ping] : pings) peer.send({FrameType::Pong, 0, 0, {}, ping.offset}, {}, lane);

  peer.write(lanes.stream, kMaxPayload);
  std::size_t lost = 0;
  for (std::uint32_t lane = 1; lane <= 3 && lost == 0; ++lane) {
    if (bytes_in(peer.take(FrameType::Data, lane)) > 0) lost = lane;
  }
  REQUIRE(lost > 0);

  peer.session.handle_lane_lost(LaneId{static_cast<std::uint32_t>(lost)}, peer.now);

  std::size_t again = 0;
  for (std::uint32_t lane = 1; lane <= 3; ++lane) again += bytes_in(peer.take(FrameType::Data, lane));
  CHECK(again > 0);
}

TEST_CASE("Lanes: one stream is striped over all that have room, without overlap", "[mux]") {
  Lanes lanes{{10ms, 10ms, 10ms}};
  RawPeer& peer = lanes.peer;
  peer.write(lanes.stream, 32 * kMaxPayload);
  std::uint64_t next = lanes.accepted;
  for (int i = 0; i < 15; ++i) {
    const auto frame = peer.session.poll_transmit(LaneId{i % 3 + 1U}, peer.now);
    REQUIRE(frame);
    const auto header = decode_header(frame->head.data());
    REQUIRE(header);
    if (header->type != FrameType::Data) continue;
    CHECK(header->offset == next);
    next += header->length;
  }
  CHECK(next > lanes.accepted + 10 * kPackBelow);
}

// docs/protocol.md §9
TEST_CASE("Lanes: the last bytes of the only busy stream wait for a lane that is much better", "[mux]") {
  Lanes lanes{{10ms, 300ms}};
  RawPeer& peer = lanes.peer;
  peer.write(lanes.stream, 2 * kMaxPayload);
  CHECK(peer.take(FrameType::Data, 2).empty());
  CHECK(bytes_in(peer.take(FrameType::Data, 1)) == 2 * kMaxPayload);
}

// docs/protocol.md §9
TEST_CASE("Lanes: bulk takes the worse lane as well", "[mux]") {
  Lanes lanes{{10ms, 300ms}};
  RawPeer& peer = lanes.peer;
  peer.write(lanes.stream, 32 * kMaxPayload);
  CHECK_FALSE(peer.take(FrameType::Data, 2).empty());
}

// docs/protocol.md §7
TEST_CASE("Lanes: frames that wait too long for a receipt go again over the others, once", "[mux]") {
  Lanes lanes{{20ms, 20ms}};
  RawPeer& peer = lanes.peer;
  peer.write(lanes.stream, kMaxPayload);
  const auto first = peer.take(FrameType::Data, 1);
  REQUIRE(bytes_in(first) == kMaxPayload);
  peer.pass(60ms);
  CHECK(peer.take(FrameType::Data, 2).empty());  // A fast retransmission may still bring them.
  peer.pass(200ms);
  const auto again = peer.take(FrameType::Data, 2);
  CHECK(bytes_in(again) == kMaxPayload);
  CHECK(again[0].header.offset == first[0].header.offset);
  CHECK(peer.session.lane_count() == 2);
  CHECK(peer.session.lane_stats(peer.now)[0].suspected);

  SECTION("and nothing new goes over the suspected lane until a receipt comes") {
    peer.write(lanes.stream, kMaxPayload);
    CHECK(peer.take(FrameType::Data, 1).empty());
    peer.send_receipt(lanes.sent[1] + 1, 1);
    CHECK_FALSE(peer.take(FrameType::Data, 1).empty());
  }
  SECTION("and not once more when it is lost") {
    peer.session.handle_lane_lost(LaneId{1}, peer.now);
    CHECK(peer.take(FrameType::Data, 2).empty());
  }
}

// docs/protocol.md §7
TEST_CASE("Lanes: a suspected lane that is the last one carries on", "[mux]") {
  Lanes lanes{{20ms, 20ms}};
  RawPeer& peer = lanes.peer;
  peer.write(lanes.stream, kMaxPayload);
  peer.take(1);
  peer.pass(300ms);
  REQUIRE(peer.session.lane_stats(peer.now)[0].suspected);
  peer.session.handle_lane_lost(LaneId{2}, peer.now);
  peer.write(lanes.stream, kMaxPayload);
  CHECK(bytes_in(peer.take(FrameType::Data, 1)) == 2 * kMaxPayload);

  SECTION("and what it was given goes again over the next lane that comes") {
    peer.attach(3);
    peer.pass(1ms);
    CHECK(bytes_in(peer.take(FrameType::Data, 3)) == 2 * kMaxPayload);
    peer.pass(300ms);
    CHECK(peer.take(FrameType::Data, 1).empty());
  }
}

// docs/protocol.md §3.3
TEST_CASE("Giving back: LANE_CLOSE follows when all that was sent is receipted", "[mux]") {
  RawPeer peer;
  peer.attach(1);
  const StreamId id = peer.open();
  peer.take(1);
  peer.attach(2);
  peer.session.retire_lane(LaneId{1});
  peer.write(id, 100);
  for (const SentFrame& frame : peer.take(1)) CHECK(frame.header.type == FrameType::Receipt);
  CHECK(peer.take(FrameType::Data, 2).size() == 1);
  peer.send_receipt(2, 1);  // OPEN and ACK.
  CHECK(dumps(peer.take(1)) == std::vector<std::string>{"LANE_CLOSE stream=0 offset=0 length=0"});
}

// docs/protocol.md §3.3
TEST_CASE("Giving back: frames of the other end are receipted until its LANE_CLOSE has come", "[mux]") {
  RawPeer peer;
  peer.attach(1);
  const StreamId id = peer.open();
  peer.take(1);
  peer.attach(2);
  peer.send_receipt(2, 1);
  peer.session.retire_lane(LaneId{1});
  peer.take(1);
  peer.send_data(id.value, 0, 500, false, 1);
  CHECK(peer.take(FrameType::Receipt, 1).size() == 1);
  peer.ended_with();
  CHECK(peer.session_events.empty());
  peer.send({FrameType::LaneClose, 0, 0, {}, 0}, {}, 1);
  peer.ended_with();
  REQUIRE(peer.session_events.size() == 1);
  CHECK(peer.session_events[0].kind == SessionEvent::Kind::LaneClosed);
  CHECK(peer.session_events[0].lane == LaneId{1});
}

// docs/protocol.md §3.3
TEST_CASE("Giving back: LANE_CLOSE of the other end is answered, and no frame of ours is lost", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach(1);
  peer.send_open(2);
  peer.send({FrameType::LaneClose, 0, 0, {}, 0});
  CHECK(dumps(peer.take()) == std::vector<std::string>{"RECEIPT stream=0 offset=1 length=0",
                                                       "LANE_CLOSE stream=0 offset=0 length=0"});
  peer.ended_with();
  REQUIRE(peer.session_events.size() == 1);
  CHECK(peer.session_events[0].kind == SessionEvent::Kind::LaneClosed);
  CHECK(peer.take().empty());
}

// docs/protocol.md §3.3
TEST_CASE("Giving back: a state frame behind LANE_CLOSE ends the session", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach(1);
  peer.send({FrameType::LaneClose, 0, 0, {}, 0});
  peer.send_open(2);
  CHECK(peer.ended_with() == Errc::FrameMalformed);
}

// docs/protocol.md §9
TEST_CASE("Slow line: a frame takes at most 10 ms", "[mux]") {
  Lanes slow{{100ms}, false};  // 16 KiB each 100 ms: 164 kB/s.
  slow.peer.write(slow.stream, 4 * kMaxPayload);
  const auto frames = slow.peer.take(FrameType::Data, 1);
  REQUIRE_FALSE(frames.empty());
  CHECK(frames[0].header.length < 2500);
}

// docs/protocol.md §8.5 and §9
TEST_CASE("Slow line: with several lanes a frame has at least 4 KiB", "[mux]") {
  Lanes slow{{100ms}, false};
  slow.peer.attach(2);
  slow.peer.write(slow.stream, 32 * kMaxPayload);
  const auto frames = slow.peer.take(FrameType::Data, 1);
  REQUIRE_FALSE(frames.empty());
  CHECK(frames[0].header.length == kPackBelow);
}

// docs/protocol.md §3.6 and §4.1
TEST_CASE("Epochs: a lane number is used once, however many lanes came and went", "[mux]") {
  RawPeer peer;
  for (std::uint32_t lane = 1; lane <= 3000; ++lane) {
    peer.attach(lane);
    peer.session.handle_lane_lost(LaneId{lane}, peer.now);
  }
  for (const std::uint32_t used : {1U, 1500U, 2999U, 3000U}) {
    CHECK_FALSE(peer.session.attach_lane(LaneId{used}, 1, 64_MiB, peer.now));
  }
  CHECK(peer.session.attach_lane(LaneId{3001}, 1, 64_MiB, peer.now));
}

// docs/protocol.md §4.1
TEST_CASE("Epoch: news of a lane given back in an older epoch does not close the new lane of its number",
          "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach(1, 1);
  peer.send({FrameType::LaneClose, 0, 0, {}, 0});
  CHECK(peer.take(FrameType::LaneClose).size() == 1);

  peer.attach(1, 2);

  peer.ended_with();
  REQUIRE(peer.session_events.size() == 1);
  CHECK(peer.session_events[0].kind == SessionEvent::Kind::LaneDead);
  CHECK(peer.session_events[0].reason == Errc::EpochInvalid);
  CHECK(peer.session.lane_count() == 1);
}

}  // namespace culvert
