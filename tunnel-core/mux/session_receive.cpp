// Frames in. Every frame that is not for its lane tells state: doing it twice must change nothing.
#include "tunnel-core/mux/session.hpp"

namespace culvert {
namespace {

constexpr std::size_t kPieceOfBulk = 1024;  ///< What slow lanes cut bulk into.

bool ends_session(Errc code) {
  return static_cast<int>(code) >= 1 && static_cast<int>(code) < 64;
}
bool resets_stream(Errc code) {
  return static_cast<int>(code) >= 64 && static_cast<int>(code) < 128;
}

Errc session_reason(std::uint64_t number) {
  const auto code = static_cast<Errc>(static_cast<std::uint16_t>(number));
  return number < 64 && errc_name(code) != "unknown_error" ? code : Errc::InternalError;
}

Errc stream_reason(std::uint64_t number) {
  const auto code = static_cast<Errc>(static_cast<std::uint16_t>(number));
  return number < 128 && resets_stream(code) && errc_name(code) != "unknown_error" ? code
                                                                                   : Errc::StreamCancelled;
}

/// The peer's words go into our log: control characters would forge lines there.
std::string printable(ByteSpan bytes) {
  std::string text{as_text(bytes)};
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  }
  return text;
}

}  // namespace

void Session::handle_bytes(LaneId id, const SlabRef& slab, ByteSpan bytes, Instant now) {
  Lane* const lane = find_lane(id);
  if (lane == nullptr || ended_) return;
  latest_ = lane->last_received = now;
  lane->received_bytes += bytes.size();
  const auto done = lane->splitter.split(slab, bytes, [&](const Frame& frame, const SlabRef& in) {
    return handle_frame(*lane, frame, in, now);
  });
  if (done || ended_) return;
  const Errc code = done.error().code();
  // Our memory running out is not the peer's fault; its session ends all the same, because bytes were
  // refused.
  const Errc reason = ends_session(code) ? code : Errc::InternalError;
  end(reason, done.error().message(), now);
  session_events_.push_back({SessionEvent::Kind::Ended, {}, reason, done.error().message()});
}

Result<void> Session::handle_frame(Lane& lane, const Frame& frame, const SlabRef& slab, Instant now) {
  if (ended_) return {};
  const FrameHeader& header = frame.header;
  switch (header.type) {
    case FrameType::Receipt:
      return lane.handle_receipt(header.offset, now,
                                 [this](const FrameHeader& settled) { handle_settled(settled); });
    case FrameType::Ping:
      lane.pong_due = header.offset;
      return {};
    case FrameType::Pong:
      if (header.offset == lane.ping_number) lane.measure(lane.ping_sent_at, now);
      return {};
    case FrameType::SessionEnd:
      handle_peer_end(session_reason(header.offset), printable(frame.payload));
      return {};
    case FrameType::LaneClose:
      lane.retiring = lane.close_received = true;
      note_closed(lane);
      return {};
    case FrameType::Data:
    case FrameType::Open:
    case FrameType::Opened:
    case FrameType::Reset:
    case FrameType::Ack:
    case FrameType::Return:
    case FrameType::Drain:
      break;
  }
  if (lane.close_received) return Error{Errc::FrameMalformed, dump(header) + " came behind LANE_CLOSE"};
  auto handled = handle_state_frame(frame, slab, now);
  if (handled) lane.note_processed(kFrameHeaderSize + header.length, now);
  return handled;
}

Result<void> Session::handle_state_frame(const Frame& frame, const SlabRef& slab, Instant now) {
  const FrameHeader& header = frame.header;
  if (header.type == FrameType::Drain) {
    if (!peer_draining_) {
      peer_draining_ = true;
      session_events_.push_back({SessionEvent::Kind::PeerDraining, {}, Errc::Draining, {}});
    }
    return {};
  }
  if (header.type == FrameType::Open) return handle_open(frame, now);
  if (!was_opened(header.stream)) {
    return Error{Errc::StreamIdInvalid, dump(header) + " is for a stream that was never opened"};
  }
  Stream* const stream = find(header.stream);
  if (stream == nullptr || stream->phase == StreamPhase::Resetting || stream->phase == StreamPhase::Ended) {
    if (stream != nullptr && header.type == FrameType::Reset) {
      handle_reset(*stream, stream_reason(header.offset), printable(frame.payload));
    } else {
      ++late_frames_;
    }
    return {};
  }
  const bool answers =
      header.type == FrameType::Opened || header.type == FrameType::Data || header.type == FrameType::Ack;
  if (stream->phase == StreamPhase::Opening && answers) {
    became_open(*stream, now);
    signal(*stream, kOpened);
  }
  switch (header.type) {
    case FrameType::Data:
      return handle_data(*stream, frame, slab, now);
    case FrameType::Ack:
      return handle_ack(*stream, frame, now);
    case FrameType::Return:
      return stream->receive.handle_return(header.offset);
    case FrameType::Reset:
      handle_reset(*stream, stream_reason(header.offset), printable(frame.payload));
      return {};
    default:
      return {};  // OPENED, whose news was taken above.
  }
}

/// Ids of each opener are consecutive, so an id is known to have been opened without remembering the finished
/// ones (docs/protocol.md §6.1).
bool Session::was_opened(StreamId id) const {
  const bool own = (id.value & 1) == static_cast<std::uint32_t>(config_.role);
  if (own) return id.value < next_own_id_;
  return id.value < next_peer_id_ && !missing_peer_ids_.contains(id.value);
}

/// docs/protocol.md §6.1.
Result<void> Session::note_peer_id(StreamId id) {
  const std::uint32_t lowest = missing_peer_ids_.empty() ? next_peer_id_ : *missing_peer_ids_.begin();
  if (id.value > kLastId || (id.value > lowest && (id.value - lowest) / 2 > kMaxIdsAhead)) {
    return Error{Errc::StreamIdInvalid, "OPEN of stream " + std::to_string(id.value) + " while " +
                                            std::to_string(lowest) + " has not been opened"};
  }
  missing_peer_ids_.erase(id.value);
  for (; next_peer_id_ <= id.value; next_peer_id_ += 2) {
    if (next_peer_id_ != id.value) missing_peer_ids_.insert(next_peer_id_);
  }
  return {};
}

/// docs/protocol.md §6.2.
Result<void> Session::handle_open(const Frame& frame, Instant now) {
  const StreamId id = frame.header.stream;
  if ((id.value & 1) == static_cast<std::uint32_t>(config_.role)) {
    return Error{Errc::StreamIdInvalid,
                 "the peer opened stream " + std::to_string(id.value) + ", an id of ours"};
  }
  auto info = decode_open(frame.payload);
  if (!info) return std::move(info).error();
  if (was_opened(id)) {
    const Stream* const known = find(id);
    if (known != nullptr && !known->info.target.empty() && known->info != *info) {
      return Error{Errc::CounterContradiction,
                   "stream " + std::to_string(id.value) + " was opened twice, differently"};
    }
    return {};  // Redelivered: never dial again.
  }
  auto noted = note_peer_id(id);
  if (!noted) return noted;
  auto added = add_stream(id, *info, StreamPhase::Offered, now);
  if (added && !draining_) {
    signal(**added, kOffered);
    note_active(**added, now);
    return {};
  }
  if (added) {
    disown(**added);
    start_reset(**added, Errc::Draining, "the other end takes no more streams");
    return {};
  }
  // Refused: an object without halves, only to have the RESET delivered.
  if (streams_.size() >= config_.streams + kUnsettledStreams || !memory_.reserve(kStreamObject)) {
    return Error{Errc::StreamIdInvalid, "too many streams whose end the peer does not receipt"};
  }
  auto refused = std::make_unique<Stream>(id, OpenInfo{}, StreamPhase::Resetting, slabs_, credit_);
  refused->reset_reason = added.error().code();
  refused->reset_text = added.error().message();
  refused->told_end = true;
  Stream& stream = *refused;
  streams_.emplace(id.value, std::move(refused));
  ++reset_total_;
  make_due(stream, kResetDue);
  return {};
}

Result<void> Session::handle_data(Stream& stream, const Frame& frame, const SlabRef& slab, Instant now) {
  auto taken = stream.receive.handle_data(frame.header.offset, frame.payload,
                                          (frame.header.flags & kFlagFin) != 0, slab);
  if (!taken) return taken;
  note_active(stream, now);
  if (frame.header.length >= kPieceOfBulk) {
    bulk_from_peer_ = stream.id;
    bulk_received_at_ = now;
  }
  const bool deliverable =
      stream.receive.has_readable() || (stream.receive.at_end() && !stream.receive.fin_delivered());
  if (deliverable && stream.phase == StreamPhase::Open) signal(stream, kReadable);
  return {};
}

Result<void> Session::handle_ack(Stream& stream, const Frame& frame, Instant now) {
  const bool fin = (frame.header.flags & kFlagFin) != 0;
  auto taken = stream.send.handle_ack(frame.header.offset, decode_granted(frame.payload), fin);
  if (!taken) return taken;
  if ((frame.header.flags & kFlagReturn) != 0 && stream.send.return_idle_credit())
    make_due(stream, kReturnDue);
  if (stream.reset_when_accepted && stream.send.all_accepted()) {
    start_reset(stream, stream.reset_reason, std::string{stream.reset_text});
    return {};
  }
  activate(stream);
  signal_room(stream);
  note_active(stream, now);
  maybe_finish(stream);
  return {};
}

void Session::handle_reset(Stream& stream, Errc reason, std::string_view text) {
  const bool was_running = stream.phase != StreamPhase::Resetting && stream.phase != StreamPhase::Ended;
  if (stream.phase == StreamPhase::Ended) return;  // Both FINs were delivered: RESET is ignored.
  if (was_running) {
    release_halves(stream);
    ++reset_total_;
    stream.reset_reason = reason;
    stream.reset_text = text;
    if ((stream.signals & kOffered) != 0) disown(stream);  // Nobody has heard of it yet: nobody dials.
    signal(stream, kReset);
  }
  stream.phase = StreamPhase::Ended;
  stream.ack_fin_receipted = true;
  stream.due = 0;
  stream.control_hook.unlink();
  maybe_forget(stream);
}

/// The peer has processed this frame of ours.
void Session::handle_settled(const FrameHeader& header) {
  Stream* const stream = find(header.stream);
  if (stream == nullptr) return;
  switch (header.type) {
    case FrameType::Data:
      stream->send.handle_receipt(header.offset, header.length, (header.flags & kFlagFin) != 0);
      return;
    case FrameType::Open:
      stream->open_settled = true;
      stream->pinned = {};
      return;
    case FrameType::Reset:
      stream->phase = StreamPhase::Ended;
      stream->ack_fin_receipted = true;
      stream->control_hook.unlink();
      return maybe_forget(*stream);
    case FrameType::Ack:
      if ((header.flags & kFlagFin) == 0) return;
      stream->ack_fin_receipted = true;
      return maybe_forget(*stream);
    default:
      return;
  }
}

void Session::handle_peer_end(Errc reason, std::string_view text) {
  finish_ending(reason, text);
  session_events_.push_back({SessionEvent::Kind::Ended, {}, reason, std::string{text}});
}

}  // namespace culvert
