// Frames out. Order: the lane's own frames, the session's, control of streams, then data: redelivered pieces
// lead each stream's data, streams that have just become busy lead the others for one quantum.
#include <algorithm>

#include "tunnel-core/base/byte_cursor.hpp"
#include "tunnel-core/mux/session.hpp"

namespace culvert {
namespace {

constexpr std::size_t kFewFrames = 4 * kMaxPayload;
constexpr std::size_t kLeastPayload = 1024;  ///< On a slow line with one lane.
constexpr Duration kAwaited = 10s;  ///< Who sent little beside bulk is taken to wait for answers for so long.
/// The lane for answers is kept free until the agent, which looks twice a second at least, has given it back:
/// bulk that took it before would overfill the line.
constexpr Duration kKeptLonger = 1s;
constexpr Duration kBeside = 100ms;  ///< Bulk of the peer that came no longer ago is still coming.

}  // namespace

std::optional<Transmit> Session::poll_transmit(LaneId id, Instant now) {
  latest_ = now;
  Lane* const lane = find_lane(id);
  if (lane == nullptr || lane->silent) return std::nullopt;
  if (auto frame = transmit_lane_frame(*lane, now)) return frame;
  if (ended_ || !may_carry(*lane) || !lane->may_send_state()) return std::nullopt;
  if (drain_due_) {
    drain_due_ = false;
    return encode(*lane, {FrameType::Drain, 0, 0, {}, drain_ms_}, {}, now);
  }
  if (auto frame = transmit_control(*lane, now)) return frame;
  return transmit_data(*lane, now);
}

LaneBudget Session::budget(LaneId id) const {
  const Lane* const lane = find_lane(id);
  if (lane == nullptr) return {};
  return {lane->seal_budget(), lane->kernel_budget(), lane->bulk_bytes()};
}

/// Writes header and payload into the scratch frame: everything but bulk data goes out this way.
Transmit Session::encode(Lane& lane, const FrameHeader& header, ByteSpan payload, Instant now) {
  FrameHeader complete = header;
  complete.length = static_cast<std::uint16_t>(payload.size());
  encode_header(complete, scratch_);
  std::ranges::copy(payload, scratch_ + kFrameHeaderSize);
  lane.note_sent(complete, now);
  return {{scratch_, kFrameHeaderSize + payload.size()}, {}};
}

std::optional<Transmit> Session::transmit_lane_frame(Lane& lane, Instant now) {
  if (lane.pong_due) {
    const std::uint64_t value = *lane.pong_due;
    lane.pong_due.reset();
    return encode(lane, {FrameType::Pong, 0, 0, {}, value}, {}, now);
  }
  if (lane.receipt_is_due(now)) {
    return encode(lane, {FrameType::Receipt, 0, 0, {}, lane.take_receipt()}, {}, now);
  }
  if (lane.end_due) {
    lane.end_due = false;
    lane.silent = true;
    const auto reason = static_cast<std::uint64_t>(end_reason_);
    return encode(lane, {FrameType::SessionEnd, 0, 0, {}, reason}, as_bytes(end_text_), now);
  }
  if (lane.close_is_due()) {
    lane.close_sent = true;
    note_closed(lane);
    return encode(lane, {FrameType::LaneClose, 0, 0, {}, 0}, {}, now);
  }
  if (lane.ping_due) {
    lane.ping_due = false;
    lane.ping_sent_at = now;
    return encode(lane, {FrameType::Ping, 0, 0, {}, ++lane.ping_number}, {}, now);
  }
  return std::nullopt;
}

/// Until OPEN is receipted or answered, all frames of a stream follow it on its lane (docs/protocol.md §6.2).
bool Session::may_use(const Stream& stream, const Lane& lane) const {
  return stream.open_settled || stream.pinned == LaneId{} || stream.pinned == lane.id;
}

std::optional<Transmit> Session::transmit_control(Lane& lane, Instant now) {
  for (Stream* stream = control_list_.front(); stream != nullptr;) {
    Stream* const next = control_list_.next(*stream);
    if (stream->due == 0) {
      stream->control_hook.unlink();
    } else if (may_use(*stream, lane)) {
      if (auto frame = transmit_stream_control(lane, *stream, now)) return frame;
    }
    stream = next;
  }
  return std::nullopt;
}

std::optional<Transmit> Session::transmit_stream_control(Lane& lane, Stream& stream, Instant now) {
  const auto take = [&stream](StreamDue flag) {
    if ((stream.due & flag) == 0) return false;
    stream.due &= static_cast<std::uint8_t>(~flag);
    if (stream.due == 0) stream.control_hook.unlink();
    return true;
  };
  if (take(kOpenDue)) {
    stream.pinned = lane.id;
    const Bytes tlvs = encode_open(stream.info);
    return encode(lane, {FrameType::Open, 0, 0, stream.id, 0}, tlvs, now);
  }
  if (take(kOpenedDue)) return encode(lane, {FrameType::Opened, 0, 0, stream.id, 0}, {}, now);
  if (take(kResetDue)) {
    const auto reason = static_cast<std::uint64_t>(stream.reset_reason);
    return encode(lane, {FrameType::Reset, 0, 0, stream.id, reason}, as_bytes(stream.reset_text), now);
  }
  if (take(kAckDue)) {
    stream.ack_hook.unlink();
    // Here and not when the ACK became due: more may have been accepted while it waited for the lane.
    if (stream.phase == StreamPhase::Open && stream.receive.credit_is_due()) {
      stream.receive.update_credit(now, round_trip());
    }
    stream.receive.note_ack_sent();
    std::byte granted[8];
    Writer{granted}.u64(stream.receive.granted());
    const std::uint8_t flags = stream.receive.fin_delivered() ? kFlagFin : std::uint8_t{0};
    return encode(lane, {FrameType::Ack, flags, 0, stream.id, stream.receive.accepted()}, granted, now);
  }
  if (take(kReturnDue))
    return encode(lane, {FrameType::Return, 0, 0, stream.id, stream.send.returned()}, {}, now);
  stream.control_hook.unlink();
  return std::nullopt;
}

/// Small payloads of a stream keep to one lane while any byte is in flight: striped over a lane that stalls,
/// each would leave a gap at the receiver, who may only keep so many (docs/protocol.md §8.5).
bool Session::may_send_data(const Stream& stream, const Lane& lane) const {
  if (!may_use(stream, lane) || (stream.due & kOpenDue) != 0) return false;
  if (stream.packed_lane == LaneId{} || stream.packed_lane == lane.id) return true;
  if (stream.send.next_size() >= kPackBelow || stream.send.nothing_in_flight()) return true;
  // One gap more: from there the stream does not come back.
  if (&lane == lane_for_answers(latest_)) return true;
  const Lane* const other = find_lane(stream.packed_lane);
  return other == nullptr || !may_carry(*other);
}

/// It can go over no other lane at present.
bool Session::is_bound_to(const Stream& stream, const Lane& lane) const {
  if (!stream.open_settled && stream.pinned == lane.id) return true;
  return stream.packed_lane == lane.id && stream.send.next_size() < kPackBelow &&
         !stream.send.nothing_in_flight();
}

/// A suspected lane carries only when every lane is: none is better then.
bool Session::may_carry(const Lane& lane) const {
  if (lane.retiring) return false;
  return !lane.suspected ||
         std::ranges::none_of(lanes_, [](const auto& entry) { return entry.second->takes_new_frames(); });
}

/// A better lane, full at present, would deliver all that the only busy stream has before this lane delivers
/// one frame. A stream with more than a few frames is bulk: it gains from every lane.
/// Nor does bulk wait for the lane for answers, which takes none.
bool Session::should_wait_for_better(const Stream& stream, const Lane& lane, bool is_bulk) const {
  // Never less than the frame in question: or two lanes would each wait for the other one, for ever.
  const std::uint64_t waiting = std::max<std::uint64_t>(stream.send.unsent(), stream.send.next_size());
  if (lanes_.size() == 1 || waiting > kFewFrames) return false;
  if (bulk_list_.front() != nullptr && bulk_list_.next(*bulk_list_.front()) != nullptr) return false;
  const Duration unknown = least_round_trip();
  const Duration here = lane.expected_delivery(stream.send.next_size(), unknown);
  const Lane* const closed = is_bulk ? lane_for_answers(latest_) : nullptr;
  return std::ranges::any_of(lanes_, [&](const auto& entry) {
    const Lane& other = *entry.second;
    return other.id != lane.id && &other != closed && other.takes_new_frames() && other.may_send_state() &&
           may_send_data(stream, other) && other.expected_delivery(waiting, unknown) < here;
  });
}

/// Kept free of bulk while somebody waits for answers: behind lost bulk they would wait for round trips. Null
/// where bulk has no other lane.
const Lane* Session::lane_for_answers(Instant now) const {
  const bool kept_free = awaited_until_ != Instant{} && now < awaited_until_ + kKeptLonger;
  if (!kept_free || least_round_trip() < kFarLine) return nullptr;
  const Lane* kept = nullptr;
  bool others = false;
  for (const auto& [id, lane] : lanes_) {
    if (!lane->takes_new_frames()) continue;
    others = kept != nullptr;
    kept = lane.get();
  }
  return others ? kept : nullptr;
}

/// `stream` has sent all it had within its first turn.
void Session::note_answer(const Stream& stream, bool bulk_waits, Instant now) {
  const bool bulk_comes = now - bulk_received_at_ < kBeside && bulk_from_peer_ != stream.id;
  if (bulk_waits || bulk_comes) awaited_until_ = now + kAwaited;
}

std::span<const LaneId> Session::lanes_by_delivery() {
  const Duration unknown = lanes_.size() > 1 ? least_round_trip() : Duration{};
  lane_times_.clear();
  for (const auto& [id, lane] : lanes_) {
    lane_times_.emplace_back(lane->expected_delivery(kMaxFrameSize, unknown), id);
  }
  std::ranges::sort(lane_times_);
  lane_order_.clear();
  for (const auto& [time, id] : lane_times_) lane_order_.push_back(id);
  return lane_order_;
}

/// The first stream of the list that this lane may carry; those that have nothing to send leave the list.
Stream* Session::first_usable(DataList& list, const Lane& lane, bool only_bound) {
  for (Stream* stream = list.front(); stream != nullptr;) {
    Stream* const next = list.next(*stream);
    if (!stream->send.has_frame()) {
      stream->data_hook.unlink();
    } else if (may_send_data(*stream, lane) && (!only_bound || is_bound_to(*stream, lane))) {
      return stream;
    }
    stream = next;
  }
  return nullptr;
}

std::optional<Transmit> Session::transmit_data(Lane& lane, Instant now) {
  const std::size_t most = lane.payload_limit(lanes_.size() > 1 ? kPackBelow : kLeastPayload);
  const auto quantum = static_cast<std::int64_t>(lane.quantum(most));
  const bool for_answers = &lane == lane_for_answers(now);
  const bool bulk_waits = first_usable(bulk_list_, lane, false) != nullptr;
  Stream* stream = first_usable(sparse_list_, lane, false);
  const bool is_sparse = stream != nullptr;
  if (!is_sparse && bulk_waits && !for_answers && answers_awaited(now)) {
    if (lane.bulk_would_queue()) lane.note_held();
    if (lane.bulk_would_queue() || lane.next_bulk() > now) return std::nullopt;
  }
  if (!is_sparse) stream = first_usable(bulk_list_, lane, for_answers);
  if (stream == nullptr || should_wait_for_better(*stream, lane, !is_sparse)) {
    lane.note_hungry();
    return std::nullopt;
  }
  while (!is_sparse && stream->deficit <= 0) {
    stream->deficit += quantum * stream->info.weight;
    if (stream->deficit > 0) break;
    bulk_list_.move_to_back(*stream);
    stream = first_usable(bulk_list_, lane, for_answers);
  }
  if (stream->deficit <= 0) stream->deficit += static_cast<std::int64_t>(kFrameHeaderSize + most);

  const SendPiece piece = stream->send.next_frame(most);
  if (!piece.bytes.empty() && piece.bytes.size() < kPackBelow) stream->packed_lane = lane.id;
  FrameHeader header{FrameType::Data, piece.fin ? kFlagFin : std::uint8_t{0},
                     static_cast<std::uint16_t>(piece.bytes.size()), stream->id, piece.offset};
  stream->deficit -= static_cast<std::int64_t>(kFrameHeaderSize + piece.bytes.size());
  if (!stream->send.has_frame()) {
    if (is_sparse) note_answer(*stream, bulk_waits, now);
    stream->data_hook.unlink();
  } else if (stream->deficit <= 0) {
    bulk_list_.move_to_back(*stream);  // One quantum ahead of the others was its share.
  }
  // Reading may go on when what was read has gone out; the socket waits for this in its relay.
  signal_room(*stream);
  lane.note_sent(header, now);
  if (!is_sparse && !for_answers) lane.note_bulk(kFrameHeaderSize + piece.bytes.size(), now);
  std::byte* const head = piece.headroom != nullptr ? piece.headroom : scratch_;
  encode_header(header, head);
  if (piece.headroom != nullptr) return Transmit{{head, kFrameHeaderSize + piece.bytes.size()}, {}};
  return Transmit{{head, kFrameHeaderSize}, piece.bytes};
}

}  // namespace culvert
