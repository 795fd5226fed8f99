// Streams as their owners see them: opening, limits, resets, drain, the end.
#include <catch2/catch.hpp>

#include "tests/unit/mux/raw_peer.hpp"

namespace culvert {
namespace {

/// As RawPeer::accept(), but what the session holds back stays so.
void accept_as_driver(RawPeer& peer, std::uint32_t stream) {
  peer.send_open(stream);
  REQUIRE(peer.has_event(StreamId{stream}, kOffered));
  peer.session.accept_stream(StreamId{stream}, nullptr, peer.now);
}

}  // namespace

// docs/protocol.md §6.2
TEST_CASE("Stream: before OPENED no more than the minimum is sent, DATA of the acceptor implies OPENED",
          "[mux]") {
  RawPeer peer;
  peer.attach();
  const auto id = peer.session.open_stream({"target", "192.0.2.7:1", 7}, nullptr, peer.now);
  REQUIRE(id);
  CHECK(peer.write(*id, 100'000) == kMinimumWindow);
  peer.take();
  peer.send_data(id->value, 0, 1);
  const auto events = peer.stream_events();
  REQUIRE(events.size() >= 2);
  CHECK(events[0].signal == kOpened);
}

TEST_CASE("Stream: one that was refused room is told when there is some", "[mux]") {
  RawPeer peer;
  peer.attach();
  const StreamId id = peer.open(kMinimumWindow);
  CHECK(peer.write(id, 100'000) == kMinimumWindow);
  peer.take();
  peer.stream_events();
  peer.send_ack(id.value, 100, kMinimumWindow);
  CHECK(peer.write(id, 1) == 0);
  peer.send_ack(id.value, 100, kMinimumWindow + 100);
  CHECK(peer.has_event(id, kWritable));
  CHECK(peer.write(id, 100'000) == 100);
}

// docs/protocol.md §6.1
TEST_CASE("Stream: near the end of its ids a session is worn out without streams, at the end with them",
          "[mux]") {
  SessionConfig config;
  RawPeer fresh{config};
  CHECK_FALSE(fresh.session.is_worn_out());
  config.last_id = 6;
  RawPeer peer{config};
  peer.attach();
  CHECK(peer.session.is_worn_out());
  const StreamId first = peer.open();
  CHECK_FALSE(peer.session.is_worn_out());
  CHECK(first.value == 2);
  CHECK(peer.open().value == 4);
  CHECK(peer.session.is_worn_out());
  const auto refused = peer.session.open_stream({"target", "", kDefaultWeight}, nullptr, peer.now);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Errc::StreamIdsExhausted);
}

// docs/protocol.md §12
TEST_CASE("Stream: without an answer it is reset after the open time-out", "[mux]") {
  RawPeer peer;
  peer.attach();
  const auto id = peer.session.open_stream({"target", "", 4}, nullptr, peer.now);
  peer.take();
  peer.pass(30s - 1ms);
  CHECK(peer.stream_events().empty());
  peer.take();
  peer.pass(1ms);
  const auto events = peer.stream_events();
  REQUIRE(events.size() == 1);
  CHECK(events[0].reason == Errc::OpenTimedOut);
  CHECK(peer.take(FrameType::Reset).size() == 1);
  CHECK(events[0].stream == *id);
}

// docs/protocol.md §6.1
TEST_CASE("Stream: ids stay consecutive when one is reset before its OPEN went out", "[mux]") {
  RawPeer peer;
  const auto first = peer.session.open_stream({"target", "", 4}, nullptr, peer.now);
  const auto second = peer.session.open_stream({"target", "", 4}, nullptr, peer.now);
  peer.session.reset_stream(*first, Errc::StreamCancelled, "", peer.now);
  peer.attach();
  std::vector<std::string> sent;
  for (const SentFrame& frame : peer.take()) sent.push_back(dump(frame.header).substr(0, 14));
  CHECK(sent == std::vector<std::string>{"OPEN stream=2 ", "RESET stream=2", "OPEN stream=4 "});
  CHECK(second->value == 4);
}

// docs/protocol.md §6.4
TEST_CASE("Stream: reset after delivery waits until the bytes read before are accepted", "[mux]") {
  RawPeer peer;
  peer.attach();
  const StreamId id = peer.open();
  peer.write(id, 1000);
  peer.session.reset_stream_after_delivery(id, Errc::StreamCancelled, "", peer.now);
  CHECK(peer.take(FrameType::Data).size() == 1);
  peer.send_ack(id.value, 999, 1 << 20);
  CHECK(peer.take(FrameType::Reset).empty());
  peer.send_ack(id.value, 1000, 1 << 20);
  CHECK(peer.take(FrameType::Reset).size() == 1);
}

// docs/protocol.md §6.4
TEST_CASE("Stream: reset after delivery waits 2 s at the most, and accepts nothing meanwhile", "[mux]") {
  RawPeer peer;
  peer.attach();
  const StreamId id = peer.open();
  peer.write(id, 1000);
  peer.send_data(id.value, 0, 5000);
  peer.session.reset_stream_after_delivery(id, Errc::StreamCancelled, "", peer.now);
  peer.pass(2s - 1ms);
  for (const SentFrame& frame : peer.take()) {
    CHECK(frame.header.type != FrameType::Reset);
    if (frame.header.type == FrameType::Ack) CHECK(frame.header.offset == 0);
  }
  peer.pass(1ms);
  CHECK(peer.take(FrameType::Reset).size() == 1);
}

// docs/protocol.md §6.4
TEST_CASE("Stream: the 2 s of a reset after delivery stand still while the session has no lane", "[mux]") {
  RawPeer peer;
  peer.attach();
  const StreamId id = peer.open();
  peer.write(id, 1000);
  peer.session.handle_lane_lost(LaneId{1}, peer.now);
  peer.session.reset_stream_after_delivery(id, Errc::StreamCancelled, "", peer.now);
  peer.pass(1min, false);
  peer.attach(1, 2);
  std::size_t data_frames = 0;
  for (const SentFrame& frame : peer.take()) {
    CHECK(frame.header.type != FrameType::Reset);
    data_frames += frame.header.type == FrameType::Data ? 1 : 0;
  }
  CHECK(data_frames == 1);
  peer.pass(2s);
  CHECK(peer.take(FrameType::Reset).size() == 1);
}

// docs/protocol.md §12 and §13
TEST_CASE("Stream: the limit of streams refuses ours with an error and the peer's with RESET", "[mux]") {
  RawPeer peer{{.streams = 2}};
  peer.attach();
  const StreamId first = peer.open();
  peer.send_open(1);
  const auto refused = peer.session.open_stream({"target", "", 4}, nullptr, peer.now);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Errc::StreamLimitReached);
  peer.send_open(3);
  const auto resets = peer.take(FrameType::Reset);
  REQUIRE(resets.size() == 1);
  CHECK(resets[0].header.offset == static_cast<std::uint64_t>(Errc::StreamLimitReached));
  peer.session.reset_stream(first, Errc::StreamCancelled, "", peer.now);
  CHECK(peer.session.open_stream({"target", "", 4}, nullptr, peer.now));
}

// docs/protocol.md §8.2
TEST_CASE("Stream: what cannot be reserved is refused, ours and the peer's", "[mux]") {
  RawPeer peer{{.memory = 1_MiB}, 4096, 56_KiB};
  peer.attach();
  for (const std::uint32_t id : {1U, 3U, 5U, 7U}) peer.send_open(id);
  const auto resets = peer.take(FrameType::Reset);
  REQUIRE(resets.size() == 1);
  CHECK(resets[0].header.stream == StreamId{7});
  CHECK(resets[0].header.offset == static_cast<std::uint64_t>(Errc::MemoryLimitReached));
  const auto refused = peer.session.open_stream({"target", "", 4}, nullptr, peer.now);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Errc::MemoryLimitReached);
}

TEST_CASE("Stream: a RESET that comes before the owner was asked is not told", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.send_open(2);
  peer.send({FrameType::Reset, 0, 0, StreamId{2}, 64});
  CHECK(peer.stream_events().empty());
  CHECK(peer.session.open_info(StreamId{2}) == nullptr);
}

// docs/protocol.md §6.5
TEST_CASE("Stream: finished when both ends are acknowledged, forgotten when that is receipted", "[mux]") {
  RawPeer peer;
  peer.attach();
  const StreamId id = peer.open();
  peer.write(id, 10);
  peer.session.finish_stream(id, peer.now);
  peer.send_data(id.value, 0, 10, true);
  CHECK_FALSE(peer.session.at_end(id));
  peer.read(id, 9);
  CHECK_FALSE(peer.session.at_end(id));
  peer.read(id);
  REQUIRE(peer.session.at_end(id));
  peer.session.handle_fin_delivered(id, peer.now);
  const auto sent = peer.take();
  CHECK_FALSE(peer.has_event(id, kFinished));
  peer.send_ack(id.value, 10, 1 << 20, kFlagFin);
  CHECK(peer.has_event(id, kFinished));
  CHECK(peer.process.used() == kStreamObject);
  CHECK(peer.session.open_info(id) != nullptr);
  // OPEN, then what was sent above.
  peer.send_receipt(1 + sent.size());
  CHECK(peer.session.open_info(id) == nullptr);
  CHECK(peer.process.used() == 0);
}

TEST_CASE("Stream: that it is open is told with the target's first bytes, or 10 ms later", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  accept_as_driver(peer, 2);
  CHECK(peer.take().empty());
  peer.write(StreamId{2}, 1);
  const auto together = peer.take();
  REQUIRE(together.size() == 3);
  CHECK(together[0].header.type == FrameType::Opened);
  CHECK(together[1].header.type == FrameType::Ack);
  CHECK(together[2].header.type == FrameType::Data);
  accept_as_driver(peer, 4);
  peer.pass(kAckDelay - 1ms);
  CHECK(peer.take(FrameType::Opened).empty());
  peer.pass(1ms);
  CHECK(peer.take(FrameType::Opened).size() == 1);
}

TEST_CASE("Stream: credit that was granted but not told yet does not delay the first ACK of a download",
          "[mux]") {
  RawPeer peer;
  peer.attach();
  const auto id = peer.session.open_stream({"target", "", kDefaultWeight}, nullptr, peer.now);
  REQUIRE(id);
  peer.take();
  peer.send({FrameType::Opened, 0, 0, *id, 0});
  peer.send_data(id->value, 0, kMinimumWindow);
  CHECK(peer.read(*id) == kMinimumWindow);
  CHECK(peer.take(FrameType::Ack).size() == 1);
}

TEST_CASE("Stream: that it is open is told at once to an opener short of credit", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.send_open(2);
  peer.send_data(2, 0, kMinimumWindow / 2 + 1);
  peer.session.accept_stream(StreamId{2}, nullptr, peer.now);
  CHECK(peer.take(FrameType::Opened).size() == 1);
}

TEST_CASE("Stream: that its end was delivered is told with another stream's frame, or 10 ms later", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.accept(2);
  peer.accept(4);
  peer.write(StreamId{4}, 1);
  peer.take();
  const bool finished_both = GENERATE(false, true);
  if (finished_both) {
    peer.session.finish_stream(StreamId{2}, peer.now);
    peer.take();
    peer.send_ack(2, 0, 1 << 20, kFlagFin);
  }
  peer.send_data(2, 0, 0, true);
  peer.session.handle_fin_delivered(StreamId{2}, peer.now);
  CHECK(peer.take().empty());
  const bool beside = GENERATE(false, true);
  if (beside) {
    peer.write(StreamId{4}, 1);
  } else {
    peer.pass(kAckDelay);
  }
  const auto acks = peer.take(FrameType::Ack);
  REQUIRE(acks.size() == 1);
  CHECK(acks[0].header.stream == StreamId{2});
  CHECK((acks[0].header.flags & kFlagFin) != 0);
}

TEST_CASE("Stream: an end whose news is held back tells it at once when the other end is over too", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.accept(2);
  peer.session.finish_stream(StreamId{2}, peer.now);
  peer.take();
  peer.send_data(2, 0, 0, true);
  peer.session.handle_fin_delivered(StreamId{2}, peer.now);
  CHECK(peer.take().empty());
  peer.send_ack(2, 0, 1 << 20, kFlagFin);
  CHECK(peer.take(FrameType::Ack).size() == 1);
  CHECK(peer.has_event(StreamId{2}, kFinished));
}

TEST_CASE("Stream: news that is held back goes out before the session ends", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  accept_as_driver(peer, 2);
  CHECK(peer.take().empty());
  peer.session.release_held();
  CHECK(peer.take(FrameType::Opened).size() == 1);
  peer.session.drain(30s, peer.now);
  peer.take();
  peer.send_data(2, 0, 0, true);
  peer.session.handle_fin_delivered(StreamId{2}, peer.now);
  CHECK(peer.take(FrameType::Ack).size() == 1);
}

// docs/protocol.md §10
TEST_CASE("Drain: takes and opens no more streams, what is open goes on", "[mux]") {
  RawPeer peer;
  peer.attach();
  const StreamId id = peer.open();
  peer.session.drain(30s, peer.now);
  const auto drain = peer.take(FrameType::Drain);
  REQUIRE(drain.size() == 1);
  CHECK(drain[0].header.offset == 30'000);
  peer.send_open(1);
  const auto resets = peer.take(FrameType::Reset);
  REQUIRE(resets.size() == 1);
  CHECK(resets[0].header.offset == static_cast<std::uint64_t>(Errc::Draining));
  const auto refused = peer.session.open_stream({"target", "", 4}, nullptr, peer.now);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Errc::Draining);
  CHECK(peer.write(id, 10) == 10);
  CHECK(peer.take(FrameType::Data).size() == 1);
}

// docs/protocol.md §3.3 and §10
TEST_CASE("End: SESSION_END goes out on every lane and nothing behind it", "[mux]") {
  RawPeer peer;
  peer.attach(1);
  peer.attach(2);
  const StreamId id = peer.open();
  peer.write(id, 10);
  peer.session.end(Errc::ShuttingDown, "maintenance", peer.now);
  for (const std::uint32_t lane : {1U, 2U}) {
    const auto sent = peer.take(lane);
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].header.type == FrameType::SessionEnd);
    CHECK(as_text(sent[0].payload) == "maintenance");
  }
  CHECK(peer.has_event(id, kReset));
  CHECK(peer.process.used() == 0);
  CHECK(peer.slabs.in_use() == 0);
  CHECK_FALSE(peer.session.open_stream({"target", "", 4}, nullptr, peer.now));
}

TEST_CASE("Owners may call for streams that are gone: nothing happens", "[mux]") {
  RawPeer peer;
  peer.attach();
  const StreamId id = peer.open();
  peer.session.reset_stream(id, Errc::StreamCancelled, "", peer.now);
  for (const StreamId any : {id, StreamId{998}}) {
    MutableByteSpan in[1];
    ByteSpan out[1];
    CHECK(peer.session.prepare_read(any, in) == 0);
    CHECK(peer.session.readable(any, out) == 0);
    peer.session.commit_read(any, 5, peer.now);
    peer.session.consume(any, 5, peer.now);
    peer.session.finish_stream(any, peer.now);
    peer.session.handle_fin_delivered(any, peer.now);
    peer.session.accept_stream(any, nullptr, peer.now);
    peer.session.reset_stream(any, Errc::StreamCancelled, "", peer.now);
    peer.session.reset_stream_after_delivery(any, Errc::StreamCancelled, "", peer.now);
    CHECK_FALSE(peer.session.at_end(any));
  }
  CHECK(peer.take(FrameType::Reset).size() == 1);
}

}  // namespace culvert
