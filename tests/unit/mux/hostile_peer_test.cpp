// Each way to break docs/protocol.md that ends the session, and what must not end it; each case names its
// section.
#include <catch2/catch.hpp>

#include "tests/unit/mux/raw_peer.hpp"
#include "tunnel-core/base/byte_cursor.hpp"

namespace culvert {
namespace {

struct Hostile : RawPeer {
  Hostile() : RawPeer({.role = Role::Gateway}) {
    attach();
    accept(2);
    take();
    stream_events();
  }
};

}  // namespace

// docs/protocol.md §4 and §5.2
TEST_CASE("Peer: a frame of unknown type ends the session", "[mux][hostile]") {
  Hostile peer;
  peer.send({static_cast<FrameType>(13), 0, 0, {}, 0});
  CHECK(peer.ended_with() == Errc::FrameUnknown);
  const auto last = peer.take();
  REQUIRE(last.size() == 1);
  CHECK(last[0].header.type == FrameType::SessionEnd);
  CHECK(last[0].header.offset == static_cast<std::uint64_t>(Errc::FrameUnknown));
}

// docs/protocol.md §5.1
TEST_CASE("Peer: a malformed frame ends the session and all its streams", "[mux][hostile]") {
  Hostile peer;
  peer.send({FrameType::Ping, 1, 0, {}, 0});
  CHECK(peer.ended_with() == Errc::FrameMalformed);
  CHECK(peer.has_event(StreamId{2}, kReset));
  CHECK(peer.process.used() == 0);
  CHECK(peer.slabs.in_use() == 0);
}

// docs/protocol.md §6.3
TEST_CASE("Peer: bytes beyond the limit end the session", "[mux][hostile]") {
  Hostile peer;
  // More than the minimum was granted on acceptance; its exact amount is in no ACK that was sent beyond it.
  peer.send_data(2, std::uint64_t{64} << 20, 1);
  CHECK(peer.ended_with() == Errc::FlowControlViolation);
}

// docs/protocol.md §6.3
TEST_CASE("Peer: an offset near 2^64 does not wrap around the limit", "[mux][hostile]") {
  Hostile peer;
  peer.send_data(2, ~std::uint64_t{} - 3, 8);
  CHECK(peer.ended_with() == Errc::FlowControlViolation);
}

// docs/protocol.md §8.1
TEST_CASE("Peer: an ACK beyond what was sent ends the session", "[mux][hostile]") {
  Hostile peer;
  CHECK(peer.write(StreamId{2}, 100) == 100);
  peer.send_ack(2, 1, 1 << 20);
  CHECK(peer.ended_with() == Errc::FlowControlViolation);
}

// docs/protocol.md §8.1 and §13
TEST_CASE("Peer: a granted beyond 2^62 ends the session", "[mux][hostile]") {
  Hostile peer;
  peer.send_ack(2, 0, kMaxOffset);
  CHECK(peer.ended_with() == Errc::FlowControlViolation);
}

// docs/protocol.md §8.4
TEST_CASE("Peer: RETURN of more than was unused ends the session", "[mux][hostile]") {
  Hostile peer;
  peer.send_data(2, 0, 5000);
  peer.send({FrameType::Return, 0, 0, StreamId{2}, kMaxOffset - 1});
  CHECK(peer.ended_with() == Errc::FlowControlViolation);
}

// docs/protocol.md §5.3
TEST_CASE("Peer: ACK with FIN away from the final offset ends the session", "[mux][hostile]") {
  Hostile peer;
  peer.write(StreamId{2}, 100);
  peer.session.finish_stream(StreamId{2}, peer.now);
  peer.take();
  peer.send_ack(2, 50, 1 << 20, kFlagFin);
  CHECK(peer.ended_with() == Errc::CounterContradiction);
}

// docs/protocol.md §5.3
TEST_CASE("Peer: ACK with FIN before the end was sent ends the session", "[mux][hostile]") {
  Hostile peer;
  peer.session.finish_stream(StreamId{2}, peer.now);
  peer.send_ack(2, 0, 1 << 20, kFlagFin);
  CHECK(peer.ended_with() == Errc::CounterContradiction);
}

// docs/protocol.md §5.3 and §6.2
TEST_CASE("Peer: another OPEN for a known id is harmless, a different one ends the session",
          "[mux][hostile]") {
  Hostile peer;
  peer.send_open(2);
  CHECK(peer.stream_events().empty());
  CHECK(peer.ended_with() == Errc{});
  peer.send_open(2, {"other", "", kDefaultWeight});
  CHECK(peer.ended_with() == Errc::CounterContradiction);
}

// docs/protocol.md §6.1
TEST_CASE("Peer: a frame for an id that was never opened ends the session", "[mux][hostile]") {
  for (const std::uint32_t id : {1U, 3U, 4U, 1000U}) {
    Hostile peer;
    peer.send_data(id, 0, 1);
    CHECK(peer.ended_with() == Errc::StreamIdInvalid);
  }
}

// docs/protocol.md §6.1
TEST_CASE("Peer: OPEN of an id of ours ends the session", "[mux][hostile]") {
  Hostile peer;
  peer.send_open(1);
  CHECK(peer.ended_with() == Errc::StreamIdInvalid);
}

// docs/protocol.md §6.1 and §13
TEST_CASE("Peer: OPEN may run 65,536 ids ahead and not more", "[mux][hostile]") {
  Hostile peer;
  peer.send_open(4 + 2 * kMaxIdsAhead);
  CHECK(peer.ended_with() == Errc{});
  peer.send_data(6, 0, 1);
  CHECK(peer.ended_with() == Errc::StreamIdInvalid);
  Hostile other;
  other.send_open(6 + 2 * kMaxIdsAhead);
  CHECK(other.ended_with() == Errc::StreamIdInvalid);
}

// docs/protocol.md §6.3
TEST_CASE("Peer: a second final offset, or bytes beyond the first, end the session", "[mux][hostile]") {
  const auto after_fin_at_100 = [](std::uint64_t offset, std::size_t n, bool fin) {
    Hostile peer;
    peer.send_data(2, 0, 100, true);
    peer.send_data(2, 0, 100, true);
    CHECK(peer.ended_with() == Errc{});
    peer.send_data(2, offset, n, fin);
    return peer.ended_with();
  };
  CHECK(after_fin_at_100(100, 1, false) == Errc::FinalOffsetChanged);
  CHECK(after_fin_at_100(100, 1, true) == Errc::FinalOffsetChanged);
  CHECK(after_fin_at_100(50, 0, true) == Errc::FinalOffsetChanged);
  CHECK(after_fin_at_100(50, 50, false) == Errc{});
  CHECK(after_fin_at_100(100, 0, true) == Errc{});
}

// docs/protocol.md §6.3
TEST_CASE("Peer: FIN behind bytes that came before it ends the session", "[mux][hostile]") {
  Hostile peer;
  peer.send_data(2, 100, 50);
  peer.send_data(2, 0, 100, true);
  CHECK(peer.ended_with() == Errc::FinalOffsetChanged);
}

// docs/protocol.md §7
TEST_CASE("Peer: a RECEIPT beyond what was sent, or falling, ends the session", "[mux][hostile]") {
  Hostile peer;  // OPENED and ACK went out.
  peer.send_receipt(2);
  peer.send_receipt(2);
  CHECK(peer.ended_with() == Errc{});
  peer.send_receipt(1);
  CHECK(peer.ended_with() == Errc::ReceiptInvalid);
  Hostile other;
  other.send_receipt(3);
  CHECK(other.ended_with() == Errc::ReceiptInvalid);
}

// docs/protocol.md §8.5
TEST_CASE("Peer: too many gaps end the session", "[mux][hostile]") {
  Hostile peer;
  Errc ended{};
  std::uint64_t gaps = 0;
  for (; ended == Errc{} && gaps < 10'000; ++gaps) {
    peer.send_data(2, 1 + 2 * gaps, 1);
    ended = peer.ended_with();
  }
  CHECK(ended == Errc::TooManyGaps);
  CHECK(gaps >= 65);
}

// docs/protocol.md §6.1
TEST_CASE("Peer: frames for a stream that is over are dropped and counted", "[mux][hostile]") {
  Hostile peer;
  peer.session.reset_stream(StreamId{2}, Errc::StreamCancelled, "", peer.now);
  peer.send_data(2, ~std::uint64_t{} - 3, 8);
  peer.take();
  peer.send_receipt(3);
  CHECK(peer.session.open_info(StreamId{2}) == nullptr);
  peer.send_data(2, 0, 8, true);
  peer.send_ack(2, 99, 1);
  peer.send({FrameType::Reset, 0, 0, StreamId{2}, 64});
  CHECK(peer.ended_with() == Errc{});
  CHECK(peer.session.stats().late_frames == 4);
}

// docs/protocol.md §10
TEST_CASE("Peer: SESSION_END resets every stream with its reason, and text cannot forge log lines",
          "[mux][hostile]") {
  Hostile peer;
  peer.send({FrameType::SessionEnd, 0, 0, {}, 12}, as_bytes("gone\nroot logged in"));
  CHECK(peer.ended_with() == Errc::AccessRevoked);
  CHECK(peer.session_events.back().text == "gone?root logged in");
  CHECK(peer.has_event(StreamId{2}, kReset));
  CHECK(peer.session.ended());
}

// docs/protocol.md §12
TEST_CASE("Peer: an unknown reason is taken for a plain one", "[mux][hostile]") {
  Hostile peer;
  peer.send({FrameType::Reset, 0, 0, StreamId{2}, 5});
  const auto events = peer.stream_events();
  REQUIRE_FALSE(events.empty());
  CHECK(events.back().reason == Errc::StreamCancelled);
  peer.send({FrameType::SessionEnd, 0, 0, {}, ~std::uint64_t{}});
  CHECK(peer.ended_with() == Errc::InternalError);
}

// docs/protocol.md §5.3
TEST_CASE("Peer: every frame twice, and over another lane, changes nothing", "[mux][hostile]") {
  Hostile peer;
  peer.attach(2);
  for (const std::uint32_t lane : {1U, 2U, 1U}) {
    peer.send_open(4, {"target", "", kDefaultWeight}, lane);
    peer.send_data(2, 0, 1000, true, lane);
    peer.send({FrameType::Drain, 0, 0, {}, 5}, {}, lane);
  }
  const auto events = peer.stream_events();
  CHECK(std::count_if(events.begin(), events.end(), [](const auto& e) { return e.signal == kOffered; }) == 1);
  CHECK(peer.read(StreamId{2}) == 1000);
  CHECK(peer.ended_with() == Errc{});
  CHECK(peer.session_events.size() == 1);
}

TEST_CASE("Peer: one that never sends receipts is sent 65,536 frames on a lane and no more",
          "[mux][hostile]") {
  Hostile peer;
  std::size_t sent = 2;  // OPENED and ACK, by the fixture.
  for (std::uint64_t i = 0; i < 66'000; ++i) {
    peer.send_data(2, i, 1);
    peer.read(StreamId{2});
    peer.pass(10ms);
    for (const SentFrame& frame : peer.take()) sent += is_state_frame(frame.header.type) ? 1 : 0;
  }
  CHECK(sent == 65'536);
  CHECK(peer.ended_with() == Errc{});
  peer.send({FrameType::Ping, 0, 0, {}, 7});
  CHECK(peer.take(FrameType::Pong).size() == 1);
  peer.send_receipt(65'536);
  CHECK(peer.take(FrameType::Ack).size() == 1);
}

}  // namespace culvert
