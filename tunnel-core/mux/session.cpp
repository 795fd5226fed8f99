// The caller's side of a session: streams, their sockets, their events.
#include "tunnel-core/mux/session.hpp"

namespace culvert {
namespace {

constexpr std::uint64_t kStreamMinimum = 2 * kMinimumWindow;
constexpr std::size_t kMostHeld = 1024;      ///< Streams whose news waits for something else to go out.
constexpr std::uint32_t kFewIds = 1U << 20;  ///< So many before the end a good moment is waited for.

}  // namespace

Session::Session(const SessionConfig& config, SlabPool& slabs, ProcessMemory& process, Instant now)
    : config_(config),
      slabs_(slabs),
      memory_(process, config.memory),
      credit_{memory_},
      next_own_id_(config.role == Role::Agent ? 2 : 1),
      next_peer_id_(config.role == Role::Agent ? 1 : 2),
      laneless_since_(now),
      latest_(now) {}

Stream* Session::find(StreamId id) const {
  const auto at = streams_.find(id.value);
  return at == streams_.end() ? nullptr : at->second.get();
}

Result<Stream*> Session::add_stream(StreamId id, OpenInfo info, StreamPhase phase, Instant now) {
  if (open_count_ >= config_.streams) {
    return Error{Errc::StreamLimitReached,
                 "the session has its " + std::to_string(config_.streams) + " streams"};
  }
  if (streams_.size() >= config_.streams + kUnsettledStreams) {
    return Error{Errc::StreamLimitReached, "too many streams that are over wait for the peer's receipt"};
  }
  if (!memory_.reserve_for_open(kStreamMinimum + kStreamObject)) {
    return Error{Errc::MemoryLimitReached, "the memory of the session is used up"};
  }
  auto stream = std::make_unique<Stream>(id, std::move(info), phase, slabs_, credit_);
  Stream* const raw = stream.get();
  raw->opened_at = now;
  streams_.emplace(id.value, std::move(stream));
  ++open_count_;
  ++opened_total_;
  return raw;
}

Result<StreamId> Session::open_stream(OpenInfo info, void* owner, Instant now) {
  if (ended_) return Error{Errc::SessionClosed, "the session has ended"};
  if (draining()) return Error{Errc::Draining, "the session is draining"};
  if (next_own_id_ >= config_.last_id)
    return Error{Errc::StreamIdsExhausted, "all stream ids of the session are used"};
  auto added = add_stream(StreamId{next_own_id_}, std::move(info), StreamPhase::Opening, now);
  if (!added) return std::move(added).error();
  next_own_id_ += 2;
  Stream& stream = **added;
  stream.owner = owner;
  stream.open_deadline = now + config_.open_timeout;
  opening_list_.push_back(stream);
  make_due(stream, kOpenDue);
  note_active(stream, now);
  return stream.id;
}

bool Session::is_worn_out() const {
  const std::uint32_t left = next_own_id_ < config_.last_id ? (config_.last_id - next_own_id_) / 2 : 0;
  return left == 0 || (left < kFewIds && open_count_ == 0);
}

void Session::accept_stream(StreamId id, void* owner, Instant now) {
  Stream* const stream = find(id);
  if (stream == nullptr) return;
  stream->owner = owner;
  if (stream->phase != StreamPhase::Offered) return;  // Reset meanwhile; its event comes.
  stream->due |= kOpenedDue;
  became_open(*stream, now);
}

/// Both ends grant more than the minimum only from here on.
void Session::became_open(Stream& stream, Instant now) {
  stream.phase = StreamPhase::Open;
  stream.open_settled = true;
  stream.pinned = {};
  stream.opening_hook.unlink();
  const bool opener_waits = stream.receive.unused_credit() < kMinimumWindow / 2;
  stream.receive.update_credit(now, round_trip());
  if (opener_waits) {
    make_due(stream, kAckDue);
  } else {
    hold(stream, kAckDue, now);
  }
  if (stream.receive.has_readable() || stream.receive.at_end()) signal(stream, kReadable);
  signal(stream, kWritable);
  if (stream.send.has_frame()) activate(stream);
  note_active(stream, now);
}

void Session::reset_stream(StreamId id, Errc reason, std::string_view text, Instant) {
  Stream* const stream = find(id);
  if (stream == nullptr) return;
  if (stream->phase == StreamPhase::Resetting) return disown(*stream);
  disown(*stream);
  if (stream->phase == StreamPhase::Ended) return maybe_forget(*stream);
  start_reset(*stream, reason, text);
}

/// The owner causes the end itself and needs no event of it.
void Session::disown(Stream& stream) {
  stream.owner = nullptr;
  stream.told_end = true;
  stream.signals = 0;
  stream.event_hook.unlink();
}

/// docs/protocol.md §6.4.
void Session::reset_stream_after_delivery(StreamId id, Errc reason, std::string_view text, Instant now) {
  Stream* const stream = find(id);
  if (stream == nullptr) return;
  const bool worth_waiting = stream->phase == StreamPhase::Open || stream->phase == StreamPhase::Opening;
  if (!worth_waiting || stream->send.all_accepted()) return reset_stream(id, reason, text, now);
  disown(*stream);
  stream->receive.discard();
  stream->ack_hook.unlink();
  stream->reset_when_accepted = true;
  stream->reset_reason = reason;
  stream->reset_text = text;
  stream->reset_deadline = now + kResetGrace;
  resetting_list_.push_back(*stream);
}

void Session::start_reset(Stream& stream, Errc reason, std::string_view text) {
  stream.phase = StreamPhase::Resetting;
  stream.reset_reason = reason;
  stream.reset_text = text.substr(0, kMaxTextSize);
  const bool never_sent = (stream.due & kOpenDue) != 0 && stream.pinned == LaneId{} && !stream.open_settled;
  release_halves(stream);
  stream.due = 0;
  ++reset_total_;
  // Also for a stream whose OPEN never left: the ids must stay consecutive, so OPEN goes out right before
  // RESET.
  make_due(stream, never_sent ? kOpenDue | kResetDue : kResetDue);
}

/// Gives back what its bytes may take and leaves the lists of running streams. The object stays, and is
/// charged for, until the end is settled.
void Session::release_halves(Stream& stream) {
  stream.send.clear();
  stream.receive.release_all();
  stream.data_hook.unlink();
  stream.ack_hook.unlink();
  stream.opening_hook.unlink();
  stream.active_hook.unlink();
  stream.resetting_hook.unlink();
  stream.starved_hook.unlink();
  memory_.release(kStreamMinimum);
  --open_count_;
}

const OpenInfo* Session::open_info(StreamId id) const {
  const Stream* const stream = find(id);
  return stream == nullptr ? nullptr : &stream->info;
}

bool Session::is_over(StreamId id) const {
  const Stream* const stream = find(id);
  return stream == nullptr || stream->phase == StreamPhase::Ended;
}

std::size_t Session::prepare_read(StreamId id, std::span<MutableByteSpan> out) {
  Stream* const stream = find(id);
  if (stream == nullptr || (stream->phase != StreamPhase::Open && stream->phase != StreamPhase::Opening))
    return 0;
  const std::uint64_t credit = stream->send.free_credit();
  const std::size_t count = stream->send.prepare_read(out, credit, config_.read_ahead);
  stream->asked_to_read = count == 0;
  if (count == 0 && credit > 0 && !out.empty() && stream->send.all_accepted() &&
      !stream->send.finished_reading()) {
    // The slabs are used up by others, so that nothing of this stream will tell when there are some again.
    if (starved_list_.empty()) next_starved_check_ = latest_ + kStarvedCheck;
    starved_list_.push_back(*stream);
  }
  return count;
}

void Session::commit_read(StreamId id, std::size_t n, Instant now) {
  Stream* const stream = find(id);
  if (stream == nullptr || (stream->phase != StreamPhase::Open && stream->phase != StreamPhase::Opening))
    return;
  stream->send.commit_read(n);
  if (n == 0) return;
  activate(*stream);
  note_active(*stream, now);
}

void Session::finish_stream(StreamId id, Instant now) {
  Stream* const stream = find(id);
  if (stream == nullptr || (stream->phase != StreamPhase::Open && stream->phase != StreamPhase::Opening))
    return;
  stream->send.finish();
  activate(*stream);
  note_active(*stream, now);
}

std::size_t Session::readable(StreamId id, std::span<ByteSpan> out) const {
  const Stream* const stream = find(id);
  return stream == nullptr ? 0 : stream->receive.readable(out);
}

void Session::consume(StreamId id, std::size_t n, Instant now) {
  Stream* const stream = find(id);
  if (stream == nullptr || stream->phase != StreamPhase::Open) return;
  stream->receive.consume(n);
  request_ack(*stream, now);
  note_active(*stream, now);
}

/// An ACK goes out at once when much was accepted, otherwise within 10 ms, riding on what else is sent.
void Session::request_ack(Stream& stream, Instant now) {
  if (stream.receive.ack_is_urgent()) {
    stream.ack_hook.unlink();
    return make_due(stream, kAckDue);
  }
  if (stream.ack_hook.linked() || (stream.due & kAckDue) != 0) return;
  stream.deadline = now + kAckDelay;
  ack_list_.push_back(stream);
}

bool Session::at_end(StreamId id) const {
  const Stream* const stream = find(id);
  return stream != nullptr && stream->phase == StreamPhase::Open && stream->receive.at_end() &&
         !stream->receive.fin_delivered();
}

void Session::handle_fin_delivered(StreamId id, Instant now) {
  Stream* const stream = find(id);
  if (stream == nullptr || stream->phase != StreamPhase::Open) return;
  TUNNEL_ASSERT(stream->receive.at_end());
  stream->receive.set_fin_delivered();
  stream->ack_hook.unlink();
  note_active(*stream, now);
  maybe_finish(*stream);  // Forgets nothing yet: this ACK is not receipted.
  hold(*stream, kAckDue, now);
}

/// Both directions are done: the socket can be closed. The object stays until our ACK{FIN} is receipted
/// (docs/protocol.md §6.5).
void Session::maybe_finish(Stream& stream) {
  if (stream.phase != StreamPhase::Open || !stream.receive.fin_delivered() || !stream.send.fin_acknowledged())
    return;
  stream.phase = StreamPhase::Ended;
  release_halves(stream);
  if (stream.due != 0) make_due(stream, 0);  // What was held back has lost its deadline.
  signal(stream, kFinished);
  maybe_forget(stream);
}

void Session::maybe_forget(Stream& stream) {
  if (stream.phase != StreamPhase::Ended || !stream.told_end || !stream.ack_fin_receipted) return;
  streams_.erase(stream.id.value);
  memory_.release(kStreamObject);
}

void Session::signal(Stream& stream, StreamSignal signal) {
  if (stream.told_end) return;
  stream.signals |= signal;
  event_list_.push_back(stream);
}

std::optional<StreamEvent> Session::poll_stream_event() {
  while (Stream* const stream = event_list_.front()) {
    static constexpr StreamSignal kOrder[] = {kOffered, kOpened, kReadable, kWritable, kFinished, kReset};
    for (const StreamSignal signal : kOrder) {
      if ((stream->signals & signal) == 0) continue;
      stream->signals &= static_cast<std::uint8_t>(~signal);
      const bool last = signal == kReset || signal == kFinished;
      if (last) stream->signals = 0;
      if (stream->signals == 0) stream->event_hook.unlink();
      StreamEvent event{stream->id,
                        signal,
                        stream->owner,
                        stream->reset_reason,
                        signal == kReset ? stream->reset_text : std::string{},
                        signal == kReset || signal == kOpened ? stream->info : OpenInfo{}};
      if (last) {
        stream->told_end = true;
        stream->owner = nullptr;
        maybe_forget(*stream);
      }
      return event;
    }
    stream->event_hook.unlink();
  }
  return std::nullopt;
}

std::optional<SessionEvent> Session::poll_session_event() {
  if (session_events_.empty()) return std::nullopt;
  SessionEvent event = std::move(session_events_.front());
  session_events_.erase(session_events_.begin());
  return event;
}

/// Reading goes on when half of what may wait unsent has left: many bytes with one call, not a frame with
/// each.
void Session::signal_room(Stream& stream) {
  if (stream.asked_to_read && stream.send.unsent() * 2 <= config_.read_ahead) signal(stream, kWritable);
}

void Session::make_due(Stream& stream, std::uint8_t flags) {
  stream.due |= flags;
  control_list_.push_back(stream);
  release_held();
}

/// For news that nobody is in a hurry for: it goes out with whatever is next to go, within 10 ms. Mostly that
/// is the same stream's answer or end, a moment later, and two records with all that they cost become one.
void Session::hold(Stream& stream, std::uint8_t flags, Instant now) {
  const bool something_goes = !control_list_.empty() || !sparse_list_.empty() || !bulk_list_.empty();
  if (something_goes || draining() || held_.size() >= kMostHeld) return make_due(stream, flags);
  stream.due |= flags;
  stream.receive.owe_news();
  held_.push_back(stream.id);
  if (stream.ack_hook.linked()) return;
  stream.deadline = now + kAckDelay;
  ack_list_.push_back(stream);
}

void Session::release_held() {
  for (const StreamId id : held_) {
    Stream* const stream = find(id);
    if (stream != nullptr && stream->due != 0) control_list_.push_back(*stream);
  }
  held_.clear();
}

void Session::activate(Stream& stream) {
  if (stream.data_hook.linked() || !stream.send.has_frame()) return;
  stream.deficit = 0;
  sparse_list_.push_back(stream);
  release_held();
}

void Session::note_active(Stream& stream, Instant now) {
  stream.last_active = now;
  if (stream.active_hook.linked()) return;
  if (active_list_.empty()) next_idle_check_ = now + kIdleReturnAfter;
  active_list_.push_back(stream);
}

SessionStats Session::stats() const {
  SessionStats stats{open_count_, opened_total_,  reset_total_,     late_frames_,
                     0,           memory_.used(), memory_.ceiling()};
  for (const auto& [id, stream] : streams_) stats.backlog_bytes += stream->send.unaccepted();
  return stats;
}

Limit Session::limit() const {
  if (!sparse_list_.empty() || !bulk_list_.empty()) return Limit::Line;
  bool window = false;
  for (const auto& [id, stream] : streams_) {
    if (!stream->asked_to_read || stream->send.finished_reading()) continue;
    if (stream->send.free_credit() > 0) return Limit::Memory;
    window = true;
  }
  return window ? Limit::Window : Limit::Source;
}

LineLoad Session::line_load() const {
  LineLoad load{.moved_bytes = moved_by_gone_lanes_,
                .data_waits = !sparse_list_.empty() || !bulk_list_.empty(),
                .queue_stands = !lanes_.empty(),
                .answers_awaited = answers_awaited(latest_)};
  const Lane* const for_answers = lane_for_answers(latest_);
  for (const auto& [id, lane] : lanes_) {
    load.moved_bytes += lane->received_bytes + lane->delivered_bytes;
    load.lanes += lane->retiring ? 0 : 1;
    const Duration trip = lane->line_round_trip();
    if (trip > Duration{} && (load.round_trip == Duration{} || trip < load.round_trip))
      load.round_trip = trip;
    if (lane.get() != for_answers) load.queue_stands = load.queue_stands && lane->queue_stands();
  }
  return load;
}

std::vector<StreamStats> Session::stream_stats(std::size_t most) const {
  std::vector<StreamStats> all;
  for (const auto& [id, stream] : streams_) {
    if (all.size() == most) break;
    if (stream->phase == StreamPhase::Resetting || stream->phase == StreamPhase::Ended) continue;
    all.push_back({stream->id, stream->info.target, stream->info.source, stream->opened_at,
                   stream->phase == StreamPhase::Opening, stream->send.sent(), stream->receive.accepted(),
                   stream->send.unaccepted()});
  }
  return all;
}

}  // namespace culvert
