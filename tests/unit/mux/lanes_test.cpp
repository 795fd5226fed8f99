// Lanes: life and death, receipts, redelivery, epochs.
#include <catch2/catch.hpp>

#include "tests/unit/mux/raw_peer.hpp"

namespace culvert {

// docs/protocol.md §3.3 and §13
TEST_CASE("Lane: silent for 0.5 s it is sent a PING, and again each 0.5 s, and is dead after 2.5 s",
          "[mux]") {
  RawPeer peer;
  peer.attach();
  const Instant start = peer.now;
  peer.pass(499ms, false);
  CHECK(peer.take().empty());
  for (int i = 1; i <= 4; ++i) {
    peer.pass(start + i * 500ms - peer.now, false);
    CHECK(peer.take(FrameType::Ping).size() == 1);
  }
  peer.pass(start + 2499ms - peer.now, false);
  CHECK(peer.session.lane_count() == 1);
  peer.pass(1ms, false);
  CHECK(peer.session.lane_count() == 0);
  peer.ended_with();
  REQUIRE(peer.session_events.size() == 1);
  CHECK(peer.session_events[0].kind == SessionEvent::Kind::LaneDead);
}

// docs/protocol.md §3.3
TEST_CASE("Lane: any byte is a sign of life", "[mux]") {
  RawPeer peer;
  peer.attach();
  for (int i = 0; i < 10; ++i) {
    peer.pass(400ms, false);
    peer.session.handle_lane_alive(LaneId{1}, peer.now);
  }
  CHECK(peer.take().empty());
  CHECK(peer.session.lane_count() == 1);
}

TEST_CASE("Lane: two PINGs that nobody answered make a session silent, and any byte ends it", "[mux]") {
  RawPeer peer;
  CHECK_FALSE(peer.session.is_silent(peer.now));
  peer.attach();
  const Instant start = peer.now;
  peer.pass(999ms, false);
  CHECK_FALSE(peer.session.is_silent(peer.now));
  peer.pass(start + 1000ms - peer.now, false);
  CHECK(peer.session.is_silent(peer.now));
  peer.session.handle_lane_alive(LaneId{1}, peer.now);
  CHECK_FALSE(peer.session.is_silent(peer.now));
}

TEST_CASE("Lane: a session whose frames got no receipt for a second is unheard, whatever comes from the peer",
          "[mux]") {
  RawPeer peer;
  peer.attach();
  const StreamId id = peer.open();
  peer.take();
  peer.send_receipt(2);  // OPEN and ACK.
  peer.pass(2s);
  CHECK_FALSE(peer.session.is_unheard(peer.now));
  peer.write(id, 100);
  CHECK(peer.take(FrameType::Data).size() == 1);
  peer.pass(900ms);
  CHECK_FALSE(peer.session.is_unheard(peer.now));
  peer.pass(400ms);
  CHECK(peer.session.is_unheard(peer.now));
  CHECK_FALSE(peer.session.is_silent(peer.now));

  SECTION("and a lane that has nothing to say does not change it") {
    peer.attach(2);
    CHECK(peer.session.is_unheard(peer.now));
  }
  SECTION("until a receipt comes") {
    peer.send_receipt(3);
    CHECK_FALSE(peer.session.is_unheard(peer.now));
  }
}

TEST_CASE("Lane: a process that stood still does not take its absence for the line's", "[mux]") {
  RawPeer peer;
  peer.attach();
  peer.now += 2s;
  peer.session.handle_timeout(peer.now);
  CHECK_FALSE(peer.session.is_silent(peer.now));
}

// docs/protocol.md §5.2
TEST_CASE("Lane: a PING is answered with its number", "[mux]") {
  RawPeer peer;
  peer.attach();
  peer.send({FrameType::Ping, 0, 0, {}, 77});
  peer.send({FrameType::Ping, 0, 0, {}, 78});
  CHECK(dumps(peer.take()) == std::vector<std::string>{"PONG stream=0 offset=78 length=0"});
}

// docs/protocol.md §7
TEST_CASE("Receipt: goes out within 2 ms, or at once for 64 KiB of frames", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.accept(2);
  peer.pass(2ms);
  CHECK(peer.take(FrameType::Receipt).back().header.offset == 1);
  peer.send_data(2, 0, 100);
  peer.pass(1ms);
  CHECK(peer.take(FrameType::Receipt).empty());
  peer.pass(1ms);
  CHECK(peer.take(FrameType::Receipt).back().header.offset == 2);
  for (std::uint64_t i = 0; i < 4; ++i) peer.send_data(2, 100 + i * kMaxPayload, kMaxPayload);
  CHECK(peer.take(FrameType::Receipt).back().header.offset == 6);
}

TEST_CASE("Receipt: of a lane that cannot be written leaves no timer in the past", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.accept(2);
  peer.pass(100ms);  // Checks at each step that time moves on.
  CHECK(peer.take(FrameType::Receipt).size() == 1);
}

// docs/protocol.md §6.2 and §7
TEST_CASE("Redelivery: what a lost lane had not receipted goes out again as present state", "[mux]") {
  RawPeer peer;
  peer.attach(1);
  const auto id = peer.session.open_stream({"target", "", kDefaultWeight}, nullptr, peer.now);
  REQUIRE(id);
  CHECK(peer.write(*id, 300) == 300);
  CHECK(peer.take(1).size() == 2);
  peer.attach(2);
  CHECK(peer.take(2).empty());
  peer.write(*id, 50);
  CHECK(peer.take(2).empty());  // Behind its OPEN, which is not settled yet.
  peer.session.handle_lane_lost(LaneId{1}, peer.now);
  CHECK(dumps(peer.take(2)) == std::vector<std::string>{"OPEN stream=2 offset=0 length=10",
                                                        "DATA stream=2 offset=0 length=300",
                                                        "DATA stream=2 offset=300 length=50"});
}

// docs/protocol.md §7
TEST_CASE("Redelivery: nothing that was receipted or accepted goes out again", "[mux]") {
  RawPeer peer;
  peer.attach(1);
  const StreamId id = peer.open();
  peer.attach(2);
  for (int i = 0; i < 4; ++i) {
    peer.write(id, kPackBelow);
    CHECK(peer.take(FrameType::Data, 1).size() == 1);
  }
  peer.send_receipt(3, 1);  // OPEN, ACK and the first DATA.
  peer.send_ack(2, 2 * kPackBelow, 1 << 20, 0, 2);
  peer.session.handle_lane_lost(LaneId{1}, peer.now);
  const auto again = peer.take(FrameType::Data, 2);
  REQUIRE(again.size() == 2);
  CHECK(again[0].header.offset == 2 * kPackBelow);
  CHECK(again[1].header.offset == 3 * kPackBelow);
}

// docs/protocol.md §6.5 and §7
TEST_CASE("Redelivery: FIN, ACK with FIN and RESET survive any number of lanes", "[mux]") {
  RawPeer peer;
  std::uint32_t lane = 1;
  peer.attach(lane);
  const StreamId finished = peer.open();
  const StreamId reset = peer.open();
  peer.session.finish_stream(finished, peer.now);
  peer.send_data(finished.value, 0, 0, true);
  REQUIRE(peer.session.at_end(finished));
  peer.session.handle_fin_delivered(finished, peer.now);
  peer.session.reset_stream(reset, Errc::StreamCancelled, "why", peer.now);
  for (int i = 0; i < 5; ++i) {
    const auto sent = peer.take(lane);
    const auto count = [&](FrameType type, StreamId id, std::uint8_t flags) {
      return std::count_if(sent.begin(), sent.end(), [&](const SentFrame& f) {
        return f.header.type == type && f.header.stream == id && (f.header.flags & flags) == flags;
      });
    };
    CHECK(count(FrameType::Data, finished, kFlagFin) == 1);
    CHECK(count(FrameType::Ack, finished, kFlagFin) == 1);
    CHECK(count(FrameType::Reset, reset, 0) == 1);
    peer.session.handle_lane_lost(LaneId{lane}, peer.now);
    peer.attach(++lane);
  }
  const auto sent = peer.take(lane);
  peer.send_ack(finished.value, 0, 8192, kFlagFin, lane);
  CHECK(peer.has_event(finished, kFinished));
  peer.send_receipt(sent.size(), lane);
  CHECK(peer.session.open_info(finished) == nullptr);
  CHECK(peer.session.open_info(reset) == nullptr);
}

// docs/protocol.md §4.1
TEST_CASE("Epoch: a higher one discards older lanes, a lower one or a used lane number is refused", "[mux]") {
  RawPeer peer;
  peer.attach(1, 1);
  peer.attach(2, 1);
  const StreamId id = peer.open();
  peer.write(id, 100);
  CHECK(peer.take(FrameType::Data, 1).size() == 1);
  peer.attach(3, 2);
  CHECK(peer.session.lane_count() == 1);
  CHECK(peer.take(FrameType::Data, 3).size() == 1);
  peer.ended_with();
  CHECK(peer.session_events.size() == 2);
  const auto refused = [&](std::uint32_t lane, std::uint32_t epoch) {
    const auto done = peer.session.attach_lane(LaneId{lane}, epoch, 1_MiB, peer.now);
    return !done && done.error().code() == Errc::EpochInvalid;
  };
  CHECK(refused(4, 1));
  CHECK(refused(3, 2));
  CHECK_FALSE(refused(1, 2));
  peer.send_data(id.value, 0, 1, false, 2);  // Bytes of a lane that is gone are ignored.
  CHECK(peer.ended_with() == Errc{});
}

// docs/protocol.md §10
TEST_CASE("Session: ends without a lane for the resume deadline, and without a first one in time", "[mux]") {
  RawPeer peer{{.resume_deadline = 5min}};
  peer.attach();
  const StreamId id = peer.open();
  peer.session.handle_lane_lost(LaneId{1}, peer.now);
  peer.pass(5min - 1ms);
  CHECK(peer.ended_with() == Errc{});
  peer.pass(1ms);
  CHECK(peer.ended_with() == Errc::ResumeDeadlinePassed);
  CHECK(peer.has_event(id, kReset));
  RawPeer never;
  never.pass(30s);
  CHECK(never.ended_with() == Errc::ResumeDeadlinePassed);
}

// docs/protocol.md §8.5
TEST_CASE("Lane: small payloads keep to one lane while any byte is in flight", "[mux]") {
  RawPeer peer;
  peer.attach(1);
  const StreamId id = peer.open();
  peer.attach(2);
  peer.write(id, 10);
  CHECK(peer.take(FrameType::Data, 1).size() == 1);
  peer.write(id, 10);
  CHECK(peer.take(FrameType::Data, 2).empty());
  CHECK(peer.take(FrameType::Data, 1).size() == 1);
  peer.send_ack(id.value, 20, 1 << 20);
  peer.write(id, 10);
  CHECK(peer.take(FrameType::Data, 2).size() == 1);
}

}  // namespace culvert
