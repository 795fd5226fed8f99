#include "tests/unit/mux/raw_peer.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tunnel-core/base/byte_cursor.hpp"

namespace culvert {

std::vector<std::string> dumps(const std::vector<SentFrame>& frames) {
  std::vector<std::string> all(frames.size());
  std::ranges::transform(frames, all.begin(), [](const SentFrame& frame) { return dump(frame.header); });
  return all;
}

RawPeer::RawPeer(SessionConfig config, std::size_t slab_count, ByteCount process_ceiling)
    : region(slab_count),
      slabs(region.span()),
      process(process_ceiling),
      session(config, slabs, process, now) {}

void RawPeer::attach(std::uint32_t lane, std::uint32_t epoch, ByteCount replay) {
  REQUIRE(session.attach_lane(LaneId{lane}, epoch, replay, now));
  lanes_.push_back(LaneId{lane});
}

void RawPeer::send(FrameHeader header, ByteSpan payload, std::uint32_t lane) {
  const SlabRef slab = slabs.allocate();
  REQUIRE(slab);
  header.length = static_cast<std::uint16_t>(payload.size());
  encode_header(header, slab.data());
  std::ranges::copy(payload, slab.data() + kFrameHeaderSize);
  session.handle_bytes(LaneId{lane}, slab, {slab.data(), kFrameHeaderSize + payload.size()}, now);
}

void RawPeer::send_data(std::uint32_t stream, std::uint64_t offset, std::size_t n, bool fin,
                        std::uint32_t lane) {
  send({FrameType::Data, fin ? kFlagFin : std::uint8_t{0}, 0, StreamId{stream}, offset}, Bytes(n), lane);
}

void RawPeer::send_ack(std::uint32_t stream, std::uint64_t accepted, std::uint64_t granted,
                       std::uint8_t flags, std::uint32_t lane) {
  std::byte payload[8];
  Writer{payload}.u64(granted);
  send({FrameType::Ack, flags, 0, StreamId{stream}, accepted}, payload, lane);
}

void RawPeer::send_open(std::uint32_t stream, const OpenInfo& info, std::uint32_t lane) {
  send({FrameType::Open, 0, 0, StreamId{stream}, 0}, encode_open(info), lane);
}

void RawPeer::send_receipt(std::uint64_t n, std::uint32_t lane) {
  send({FrameType::Receipt, 0, 0, {}, n}, {}, lane);
}

std::vector<SentFrame> RawPeer::take(std::uint32_t lane) {
  std::vector<SentFrame> all;
  while (const auto frame = session.poll_transmit(LaneId{lane}, now)) {
    const auto header = decode_header(frame->head.data());
    REQUIRE(header);
    SentFrame sent{*header, {frame->head.begin() + kFrameHeaderSize, frame->head.end()}};
    sent.payload.insert(sent.payload.end(), frame->payload.begin(), frame->payload.end());
    REQUIRE(sent.payload.size() == header->length);
    all.push_back(std::move(sent));
  }
  return all;
}

std::vector<SentFrame> RawPeer::take(FrameType type, std::uint32_t lane) {
  std::vector<SentFrame> all = take(lane);
  std::erase_if(all, [type](const SentFrame& frame) { return frame.header.type != type; });
  return all;
}

void RawPeer::pass(Duration time, bool lanes_live) {
  const Instant until = now + time;
  session.handle_timeout(now);
  for (;;) {
    if (lanes_live) {
      for (const LaneId lane : lanes_) session.handle_lane_alive(lane, now);
    }
    const Instant next = session.poll_timeout();
    REQUIRE(next > now);
    if (next > until) break;
    now = next;
    session.handle_timeout(now);
  }
  now = until;
}

StreamId RawPeer::open(std::uint64_t granted) {
  const auto id = session.open_stream({"target", "", kDefaultWeight}, nullptr, now);
  REQUIRE(id);
  take();
  send_ack(id->value, 0, granted);
  session.release_held();
  stream_events();
  return *id;
}

void RawPeer::accept(std::uint32_t stream) {
  send_open(stream);
  REQUIRE(has_event(StreamId{stream}, kOffered));
  session.accept_stream(StreamId{stream}, nullptr, now);
  session.release_held();
}

std::size_t RawPeer::write(StreamId stream, std::size_t n) {
  std::size_t written = 0;
  while (written < n) {
    MutableByteSpan spans[17];
    const std::size_t count = session.prepare_read(stream, spans);
    if (count == 0) break;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < count; ++i) taken += std::min(spans[i].size(), n - written - taken);
    session.commit_read(stream, taken, now);
    written += taken;
  }
  return written;
}

std::size_t RawPeer::read(StreamId stream, std::size_t most) {
  std::size_t total = 0;
  for (;;) {
    ByteSpan spans[8];
    const std::size_t count = session.readable(stream, spans);
    std::size_t n = 0;
    for (std::size_t i = 0; i < count; ++i) n += std::min(spans[i].size(), most - total - n);
    if (n == 0) return total;
    session.consume(stream, n, now);
    total += n;
  }
}

std::vector<StreamEvent> RawPeer::stream_events() {
  std::vector<StreamEvent> all;
  while (auto event = session.poll_stream_event()) all.push_back(std::move(*event));
  return all;
}

bool RawPeer::has_event(StreamId stream, StreamSignal signal) {
  const auto all = stream_events();
  return std::ranges::any_of(
      all, [&](const StreamEvent& event) { return event.stream == stream && event.signal == signal; });
}

Errc RawPeer::ended_with() {
  while (auto event = session.poll_session_event()) session_events.push_back(std::move(*event));
  for (const SessionEvent& event : session_events) {
    if (event.kind == SessionEvent::Kind::Ended) return event.reason;
  }
  return Errc{};
}

}  // namespace culvert
