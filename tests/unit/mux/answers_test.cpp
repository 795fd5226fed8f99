// The lane for answers: bulk leaves it free, and is never left without a lane for it. docs/adr/0015.
#include <catch2/catch.hpp>

#include "tests/unit/mux/raw_peer.hpp"

namespace culvert {
namespace {

constexpr Duration kLine = 20ms;

/// Two measured lanes of 20 ms; a stream of bulk that always has more, and one that asked 200 bytes beside
/// it.
struct TwoLanes {
  explicit TwoLanes(Duration line = kLine) {
    peer.attach(1);
    peer.attach(2);
    bulk = open();
    asked = open();
    peer.pass(line);
    receipt(1);
    for (int round = 0; round < 10; ++round) carry_bulk(1, line);
    carry_bulk(2, line);
    peer.write(bulk, 1 << 20);
    peer.write(asked, 200);
    while (!peer.session.line_load().answers_awaited) REQUIRE(poll(2));
  }

  StreamId open() {
    const auto id = peer.session.open_stream({"target", "", kDefaultWeight}, nullptr, peer.now);
    REQUIRE(id);
    take(1);
    peer.send_ack(id->value, 0, 64 << 20);
    peer.session.release_held();
    take(1);
    return *id;
  }

  /// One frame over the lane while more waits, and its receipt after the round trip.
  void carry_bulk(std::uint32_t lane, Duration line) {
    peer.write(bulk, 4 * kMaxPayload);
    REQUIRE(poll(lane));
    peer.pass(line);
    receipt(lane);
  }

  std::optional<FrameHeader> poll(std::uint32_t lane) {
    const auto frame = peer.session.poll_transmit(LaneId{lane}, peer.now);
    if (!frame) return std::nullopt;
    const auto header = decode_header(frame->head.data());
    if (is_state_frame(header->type)) ++sent[lane];
    if (header->type == FrameType::Data && header->stream == bulk) bulk_sent += header->length;
    return *header;
  }
  /// Bytes of this stream, or of all, that the lane takes now.
  std::size_t take(std::uint32_t lane, StreamId of = {}) {
    std::size_t bytes = 0;
    while (const auto header = poll(lane)) {
      if (header->type == FrameType::Data && (of == StreamId{} || header->stream == of))
        bytes += header->length;
    }
    return bytes;
  }
  void receipt(std::uint32_t lane) { peer.send_receipt(sent[lane], lane); }

  RawPeer peer;
  StreamId bulk{};
  StreamId asked{};
  std::uint64_t sent[3] = {};
  std::uint64_t bulk_sent = 0;
};

}  // namespace

TEST_CASE("Answers: the newest of several lanes is kept free of bulk while a stream waits for them",
          "[mux]") {
  TwoLanes lanes;
  CHECK(lanes.take(2) == 0);
  CHECK(lanes.take(1, lanes.bulk) > 0);
  lanes.peer.write(lanes.bulk, 1 << 20);
  lanes.peer.session.handle_lane_lost(LaneId{1}, lanes.peer.now);
  CHECK(lanes.take(2, lanes.bulk) > 0);
}

TEST_CASE("Answers: bulk leaves their lane to the agent to give it back, and takes it when it does not",
          "[mux]") {
  TwoLanes lanes;
  while (lanes.peer.session.line_load().answers_awaited) {
    lanes.peer.pass(100ms);
    lanes.receipt(1);
    lanes.receipt(2);
    CHECK_FALSE(lanes.poll(2));
  }
  lanes.peer.pass(500ms);
  lanes.peer.write(lanes.bulk, 1 << 16);
  CHECK(lanes.take(2, lanes.bulk) == 0);
  CHECK(lanes.take(1, lanes.bulk) > 0);
  lanes.peer.pass(600ms);
  lanes.peer.write(lanes.bulk, 1 << 16);
  CHECK(lanes.take(2, lanes.bulk) > 0);
}

TEST_CASE("Answers: on a near line bulk takes every lane", "[mux]") {
  TwoLanes lanes{2ms};
  CHECK(lanes.take(2, lanes.bulk) > 0);
}

TEST_CASE("Answers: their lane stays the first choice, however little it carries", "[mux]") {
  TwoLanes lanes;
  std::uint64_t accepted = 200;
  for (int round = 0; round < 500; ++round) {
    lanes.peer.write(lanes.bulk, 1 << 16);
    lanes.poll(1);
    lanes.peer.pass(kLine);
    lanes.receipt(1);
    lanes.receipt(2);
    lanes.peer.send_ack(lanes.asked.value, accepted, 64 << 20, 0, 2);
    accepted += lanes.peer.write(lanes.asked, 200);
    CHECK(lanes.take(2, lanes.asked) == 200);
  }
  lanes.peer.write(lanes.bulk, 1 << 20);
  CHECK(lanes.take(1, lanes.bulk) > 0);
  CHECK(lanes.peer.session.lanes_by_delivery()[0] == LaneId{2});
}

TEST_CASE("Answers: the last bytes of bulk do not wait for a lane that bulk may not use", "[mux]") {
  TwoLanes lanes;
  while (lanes.poll(1)) {
  }
  CHECK_FALSE(lanes.peer.session.line_load().data_waits);
}

TEST_CASE("Answers: a stream whose beginning went over their lane ends where it must", "[mux]") {
  TwoLanes lanes;
  const StreamId page = lanes.open();
  lanes.peer.pass(kLine);
  lanes.receipt(1);
  lanes.peer.send_ack(lanes.bulk.value, lanes.bulk_sent, 64 << 20);
  lanes.peer.write(lanes.bulk, 4 << 20);
  REQUIRE(lanes.take(1, lanes.bulk) > 0);
  lanes.peer.write(page, 100);
  CHECK(lanes.take(2, page) == 100);
  REQUIRE(lanes.peer.write(page, 3 * kMaxPayload + 100) == 3 * kMaxPayload + 100);
  std::size_t sent = 0;
  for (int turn = 0; turn < 4; ++turn) sent += lanes.take(turn % 2 + 1U, page);
  CHECK(sent == 3 * kMaxPayload + 100);
}

TEST_CASE("Answers: who answers while the peer sends bulk waits for answers as well", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.accept(2);
  peer.accept(4);
  const bool comes = GENERATE(true, false);
  peer.send_data(2, 0, comes ? kPackBelow : 100);
  peer.write(StreamId{4}, 200);
  peer.take();
  CHECK(peer.session.line_load().answers_awaited == comes);
}

}  // namespace culvert
