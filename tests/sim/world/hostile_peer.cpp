#include "tests/sim/world/hostile_peer.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"
#include "tunnel-core/base/byte_cursor.hpp"
#include "tunnel-core/wire/open_info.hpp"

namespace culvert::sim {
namespace {

constexpr std::uint32_t kMostStreams = 40;

}  // namespace

void HostilePeer::hear(LaneId lane, ByteSpan head, ByteSpan payload) {
  const auto header = decode_header(head.data());
  if (!header) throw Failure{"sent a frame that its own decoder refuses: " + header.error().to_string()};
  expect(head.size() + payload.size() == kFrameHeaderSize + header->length, "a frame is as long as it says");
  if (payload.empty()) payload = head.subspan(kFrameHeaderSize);
  if (is_state_frame(header->type)) ++lanes_[lane].state_frames;
  if (header->stream.value == 0) return;
  HeardStream& stream = streams_[header->stream.value];
  switch (header->type) {
    case FrameType::Data:
      stream.received = std::max(stream.received, header->offset + header->length);
      expect(stream.received <= stream.told_granted - stream.told_returned, "sent <= granted - returned");
      stream.fin_received = stream.fin_received || (header->flags & kFlagFin) != 0;
      return;
    case FrameType::Ack:
      stream.granted = std::max(stream.granted, decode_granted(payload));
      return;
    case FrameType::Return:
      stream.told_returned = std::max(stream.told_returned, header->offset);
      return;
    default:
      return;
  }
}

Bytes HostilePeer::speak(LaneId lane) {
  if (!random_.chance(malice_)) return honest(lane);
  return random_.chance(80) ? wild() : garbage();
}

/// What an honest peer could say here, only never so sensible.
Bytes HostilePeer::honest(LaneId lane) {
  HeardLane& heard = lanes_.at(lane);
  if (heard.closed || streams_.empty() || random_.chance(20)) {
    if (!heard.closed && opened_ < kMostStreams && random_.chance(40)) return open();
    return honest_lane_frame(heard);
  }
  auto at = streams_.begin();
  std::advance(at, random_.below(streams_.size()));
  auto& [id, stream] = *at;
  switch (random_.below(12)) {
    default:
      return data(StreamId{id}, stream);
    case 6:
    case 7:
    case 8:
    case 9:
      return ack(StreamId{id}, stream);
    case 10:
      return give_back(StreamId{id}, stream);
    case 11:
      return random_.chance(20) ? reset(StreamId{id}, stream) : data(StreamId{id}, stream);
  }
}

Bytes HostilePeer::honest_lane_frame(HeardLane& lane) {
  switch (random_.below(10)) {
    default:
      lane.receipted += random_.below(lane.state_frames - lane.receipted + 1);
      return frame({FrameType::Receipt, 0, 0, {}, lane.receipted});
    case 7:
      return frame({FrameType::Ping, 0, 0, {}, random_.below(1000)});
    case 8:
      return frame({FrameType::Pong, 0, 0, {}, random_.below(3)});
    case 9:
      if (lane.closed || !random_.chance(5)) return frame({FrameType::Ping, 0, 0, {}, 0});
      lane.closed = true;
      return frame({FrameType::LaneClose, 0, 0, {}, 0});
  }
}

Bytes HostilePeer::open() {
  const std::uint32_t id = 2 * opened_ + (role_ == Role::Agent ? 1 : 2);
  ++opened_;
  streams_[id];
  return frame({FrameType::Open, 0, 0, StreamId{id}, 0}, encode_open({"target", "", kDefaultWeight}));
}

Bytes HostilePeer::data(StreamId id, HeardStream& stream) {
  const std::uint64_t limit = stream.final ? *stream.final : stream.granted - stream.returned;
  // Mostly in order, sometimes again, sometimes ahead.
  std::uint64_t offset = stream.highest;
  if (random_.chance(20)) offset = random_.below(limit + 1);
  offset = std::min(offset, limit);
  const std::uint64_t most = std::min<std::uint64_t>(limit - offset, kMaxPayload);
  const std::uint64_t n = most == 0 ? 0 : random_.chance(50) ? most : random_.below(most + 1);
  std::uint8_t flags = 0;
  if (offset + n >= stream.highest && (stream.final ? offset + n == *stream.final : random_.chance(3))) {
    flags = kFlagFin;
    stream.final = offset + n;
  }
  stream.highest = std::max(stream.highest, offset + n);
  return frame({FrameType::Data, flags, 0, id, offset}, Bytes(n));
}

Bytes HostilePeer::ack(StreamId id, HeardStream& stream) {
  stream.accepted += random_.below(stream.received - stream.accepted + 1);
  if (random_.chance(50)) stream.told_granted += random_.spread(1 << 20);
  std::uint8_t flags = random_.chance(5) ? kFlagReturn : std::uint8_t{0};
  if (stream.fin_received && stream.accepted == stream.received) flags |= kFlagFin;
  std::byte granted[8];
  Writer{granted}.u64(stream.told_granted);
  return frame({FrameType::Ack, flags, 0, id, stream.accepted}, granted);
}

Bytes HostilePeer::reset(StreamId id, HeardStream& stream) {
  stream.reset = true;
  const Bytes text(random_.below(100), std::byte{'x'});
  return frame({FrameType::Reset, 0, 0, id, random_.between(64, 78)}, text);
}

Bytes HostilePeer::give_back(StreamId id, HeardStream& stream) {
  const std::uint64_t unused = stream.granted - stream.returned - stream.highest;
  // The minimum is what an honest sender keeps.
  if (unused > kMinimumWindow) stream.returned += random_.below(unused - kMinimumWindow + 1);
  return frame({FrameType::Return, 0, 0, id, stream.returned});
}

/// Looks like a frame; whether it is allowed here is the session's to find out.
Bytes HostilePeer::wild() {
  FrameHeader header{static_cast<FrameType>(random_.between(1, 14)),
                     static_cast<std::uint8_t>(random_.chance(70) ? random_.below(2) : random_.below(256)), 0,
                     StreamId{static_cast<std::uint32_t>(random_.chance(90) ? random_.below(20)
                                                                            : random_.below(1ULL << 32))},
                     0};
  header.offset = random_.below(1 << 16) << random_.below(49);
  const std::uint64_t size = header.type == FrameType::Ack    ? 8
                             : header.type == FrameType::Data ? random_.spread(kMaxPayload)
                                                              : random_.below(40);
  Bytes payload(size);
  for (std::byte& b : payload) b = static_cast<std::byte>(random_.below(256));
  return frame(header, payload);
}

Bytes HostilePeer::garbage() {
  Bytes bytes(random_.spread(2000));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random_.below(256));
  return bytes;
}

std::pair<Bytes, Errc> HostilePeer::offend(LaneId lane) {
  const std::uint32_t own = role_ == Role::Agent ? 0 : 1;
  const StreamId theirs{1'000'000 + own};
  const StreamId ours{1'000'000 + 1 - own};
  const auto type = [](int number) { return static_cast<FrameType>(number); };
  switch (random_.below(7)) {
    case 0:  // docs/protocol.md §4 and §5.2
      return {frame({type(13), 0, 0, {}, 0}), Errc::FrameUnknown};
    case 1:  // docs/protocol.md §5.1
      return {frame({FrameType::Ping, 1, 0, {}, 0}), Errc::FrameMalformed};
    case 2:  // docs/protocol.md §7
      return {frame({FrameType::Receipt, 0, 0, {}, lanes_.at(lane).state_frames + 1}), Errc::ReceiptInvalid};
    case 3:  // docs/protocol.md §6.1; behind LANE_CLOSE §3.3
      return {frame({FrameType::Open, 0, 0, theirs, 0}, encode_open({"target", "", kDefaultWeight})),
              has_closed(lane) ? Errc::FrameMalformed : Errc::StreamIdInvalid};
    case 4:  // docs/protocol.md §6.1; behind LANE_CLOSE §3.3
      return {frame({FrameType::Data, 0, 0, ours, 0}, Bytes(10)),
              has_closed(lane) ? Errc::FrameMalformed : Errc::StreamIdInvalid};
    case 5:  // docs/protocol.md §5.1
      return {frame({FrameType::Ack, 0, 0, theirs, 0}, Bytes(7)), Errc::FrameMalformed};
    default:
      return {frame({FrameType::Data, 0, 0, {}, 0}, Bytes(1)), Errc::FrameMalformed};
  }
}

Bytes HostilePeer::frame(FrameHeader header, ByteSpan payload) const {
  header.length = static_cast<std::uint16_t>(payload.size());
  Bytes bytes(kFrameHeaderSize);
  encode_header(header, bytes.data());
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

}  // namespace culvert::sim
