// Lanes, redelivery, time, and the end of the session.
#include <algorithm>

#include "tunnel-core/mux/session.hpp"

namespace culvert {
namespace {

/// Kept while round trips are unknown: long enough that windows grow on a far line, short enough for a near
/// one.
constexpr Duration kUnknownRoundTrip = 100ms;
constexpr std::uint32_t kLaneNumbersBelow =
    1024;  ///< Further below the highest one, a number counts as used.

}  // namespace

Lane* Session::find_lane(LaneId id) const {
  const auto at = lanes_.find(id);
  return at == lanes_.end() ? nullptr : at->second.get();
}

Duration Session::round_trip() const {
  Duration shortest = Duration::max();
  for (const auto& [id, lane] : lanes_) {
    if (lane->round_trip() > Duration{}) shortest = std::min(shortest, lane->round_trip());
  }
  return shortest == Duration::max() ? kUnknownRoundTrip : shortest;
}

/// What is assumed of a lane that has not been measured: as good as the best, so that it is tried.
Duration Session::least_round_trip() const {
  Duration least = Duration::max();
  for (const auto& [id, lane] : lanes_) {
    if (lane->round_trip() > Duration{}) least = std::min(least, lane->least_round_trip());
  }
  return least == Duration::max() ? Duration{} : least;
}

/// docs/protocol.md §4.1 (epochs) and §3.6 (numbers of lanes).
Result<void> Session::attach_lane(LaneId id, std::uint32_t epoch, ByteCount peer_replay, Instant now) {
  if (ended_) return Error{Errc::SessionClosed, "the session has ended"};
  if (epoch < epoch_) {
    return Error{Errc::EpochInvalid,
                 "epoch " + std::to_string(epoch) + " is older than " + std::to_string(epoch_)};
  }
  if (epoch > epoch_) {
    // Its number may come again: what was told of the old lane must not be taken for news of the new one.
    std::erase_if(session_events_,
                  [](const SessionEvent& event) { return event.kind == SessionEvent::Kind::LaneClosed; });
    while (!lanes_.empty()) {
      const LaneId old = lanes_.begin()->first;
      session_events_.push_back(
          {SessionEvent::Kind::LaneDead, old, Errc::EpochInvalid, "replaced by a newer epoch"});
      lose_lane(old);
    }
    epoch_ = epoch;
    used_lanes_.clear();
  }
  if (lanes_.size() >= kMaxLanes) return Error{Errc::EpochInvalid, "the session has its lanes already"};
  const bool too_old =
      !used_lanes_.empty() && used_lanes_.rbegin()->value >= id.value + std::uint64_t{kLaneNumbersBelow};
  if (too_old || !used_lanes_.insert(id).second) {
    return Error{Errc::EpochInvalid, "lane " + std::to_string(id.value) + " was used in this epoch already"};
  }
  while (used_lanes_.rbegin()->value >= used_lanes_.begin()->value + std::uint64_t{kLaneNumbersBelow}) {
    used_lanes_.erase(used_lanes_.begin());
  }
  if (lanes_.empty()) {
    for (Stream* stream = resetting_list_.front(); stream != nullptr;
         stream = resetting_list_.next(*stream)) {
      stream->reset_deadline = now + kResetGrace;
    }
  }
  lanes_.emplace(id, std::make_unique<Lane>(id, slabs_, now));
  credit_.peer_replay = peer_replay.value;
  had_lane_ = true;
  return {};
}

void Session::adopt(Duration resume_deadline, std::size_t streams) {
  config_.resume_deadline = resume_deadline;
  config_.streams = std::min(config_.streams, streams);
}

void Session::handle_lane_alive(LaneId id, Instant now) {
  Lane* const lane = find_lane(id);
  if (lane == nullptr) return;
  lane->last_received = now;
  lane->unanswered_pings = 0;
}

bool Session::is_silent(Instant now) const {
  return !lanes_.empty() && std::ranges::all_of(lanes_, [&](const auto& entry) {
    const Lane& lane = *entry.second;
    return lane.unanswered_pings >= 2 && now - lane.last_received >= kPingAfter + 2 * lane.round_trip();
  });
}

bool Session::is_unheard(Instant now) const {
  const Duration patience = 2 * kPingAfter + 2 * round_trip();
  const auto waits = [&](const Lane& lane) {
    return !lane.in_flight.empty() && now - lane.in_flight.front().sent_at >= patience;
  };
  return std::ranges::any_of(lanes_, [&](const auto& entry) { return waits(*entry.second); }) &&
         std::ranges::all_of(
             lanes_, [&](const auto& entry) { return now - entry.second->last_receipt() >= patience; });
}

void Session::handle_lane_lost(LaneId id, Instant now) {
  if (find_lane(id) == nullptr) return;
  lose_lane(id);
  if (lanes_.empty()) laneless_since_ = now;
}

void Session::lose_lane(LaneId id) {
  const auto at = lanes_.find(id);
  const std::unique_ptr<Lane> lane = std::move(at->second);
  lanes_.erase(at);
  moved_by_gone_lanes_ += lane->received_bytes + lane->delivered_bytes;
  for (; !lane->in_flight.empty(); lane->in_flight.pop_front()) {
    const Lane::InFlight& frame = lane->in_flight.front();
    if (!frame.moved) redeliver(frame.header);
  }
}

void Session::retire_lane(LaneId id) {
  if (Lane* const lane = find_lane(id)) lane->retiring = true;
}

bool Session::is_closed(LaneId id) const {
  const Lane* const lane = find_lane(id);
  return lane != nullptr && lane->close_sent && lane->close_received;
}

void Session::note_closed(const Lane& lane) {
  if (!is_closed(lane.id)) return;
  session_events_.push_back({SessionEvent::Kind::LaneClosed, lane.id, Errc::SessionClosed, "given back"});
}

bool Session::some_lane_is_well_beside(const Lane& lane) const {
  return std::ranges::any_of(lanes_, [&](const auto& entry) {
    return entry.second.get() != &lane && entry.second->takes_new_frames();
  });
}

/// What waits on this lane goes to the others before the lane is given up: a stall costs a fraction of the
/// time that it takes to be sure of a death.
void Session::suspect(Lane& lane) {
  lane.suspected = true;
  lane.carries_again = false;
  for (std::size_t i = 0; i < lane.in_flight.size(); ++i) {
    Lane::InFlight& frame = lane.in_flight[i];
    if (!std::exchange(frame.moved, true)) redeliver(frame.header);
  }
}

/// When what waits on this lane goes to the others, if one is well. What a suspected lane was given for want
/// of a better one goes as soon as there is one: its own TCP may wait for seconds before it tries again.
std::optional<Instant> Session::redelivery_deadline(const Lane& lane) const {
  if (lane.suspected) return lane.carries_again ? std::optional{latest_} : std::nullopt;
  return lane.stall_deadline();
}

/// What this frame told, as it stands now, has to be told again.
void Session::redeliver(const FrameHeader& header) {
  if (header.type == FrameType::Drain) {
    drain_due_ = true;
    return;
  }
  Stream* const stream = find(header.stream);
  if (stream == nullptr) return;
  const bool running = stream->phase != StreamPhase::Ended && stream->phase != StreamPhase::Resetting;
  switch (header.type) {
    case FrameType::Data:
      if (!running) return;
      stream->send.handle_lost(header.offset, header.length, (header.flags & kFlagFin) != 0);
      return activate(*stream);
    case FrameType::Open:
      if (stream->open_settled) return;
      stream->pinned = {};
      return make_due(*stream, kOpenDue);
    case FrameType::Opened:
      if (running) make_due(*stream, kOpenedDue);
      return;
    case FrameType::Reset:
      if (stream->phase == StreamPhase::Resetting) make_due(*stream, kResetDue);
      return;
    case FrameType::Ack:
      if (stream->phase != StreamPhase::Resetting && !stream->ack_fin_receipted) make_due(*stream, kAckDue);
      return;
    case FrameType::Return:
      if (running) make_due(*stream, kReturnDue);
      return;
    default:
      return;
  }
}

Instant Session::poll_timeout() const {
  Instant next = Instant::max();
  const auto consider = [&next](Instant at) { next = std::min(next, at); };
  if (ended_) return next;
  for (const auto& [id, lane] : lanes_) {
    const auto stall = redelivery_deadline(*lane);
    if (stall && some_lane_is_well_beside(*lane)) consider(*stall);
    consider(std::max(lane->last_received, lane->last_ping) + kPingAfter);
    consider(lane->last_received + kLaneDeadAfter);
    if (const auto receipt = lane->receipt_deadline()) consider(*receipt);
    const bool is_held = answers_awaited(latest_) && lane->takes_new_frames() && !bulk_list_.empty();
    if (is_held && !lane->bulk_would_queue() && lane->next_bulk() > latest_) consider(lane->next_bulk());
  }
  if (lanes_.empty())
    consider(laneless_since_ + (had_lane_ ? config_.resume_deadline : config_.first_lane_deadline));
  if (const Stream* const stream = ack_list_.front()) consider(stream->deadline);
  if (const Stream* const stream = opening_list_.front()) consider(stream->open_deadline);
  if (const Stream* const stream = resetting_list_.front(); stream != nullptr && !lanes_.empty()) {
    consider(stream->reset_deadline);
  }
  if (!active_list_.empty()) consider(next_idle_check_);
  if (!starved_list_.empty()) consider(next_starved_check_);
  return next;
}

void Session::handle_timeout(Instant now) {
  latest_ = now;
  if (ended_) return;
  check_lanes(now);
  const Duration deadline = had_lane_ ? config_.resume_deadline : config_.first_lane_deadline;
  if (lanes_.empty() && now - laneless_since_ >= deadline) {
    const char* const text = "no lane came back before the resume deadline";
    finish_ending(Errc::ResumeDeadlinePassed, text);
    session_events_.push_back({SessionEvent::Kind::Ended, {}, Errc::ResumeDeadlinePassed, text});
    return;
  }
  while (Stream* const stream = ack_list_.front()) {
    if (stream->deadline > now) break;
    stream->ack_hook.unlink();
    if (stream->receive.has_news()) make_due(*stream, kAckDue);
  }
  while (Stream* const stream = opening_list_.front()) {
    if (stream->open_deadline > now) break;
    start_reset(*stream, Errc::OpenTimedOut,
                lanes_.empty() ? "the session is down" : "the target was not reached in time");
    signal(*stream, kReset);
  }
  // Without a lane nothing can be accepted: the time for it stands still.
  while (Stream* const stream = lanes_.empty() ? nullptr : resetting_list_.front()) {
    if (stream->reset_deadline > now) break;
    start_reset(*stream, stream->reset_reason, std::string{stream->reset_text});
  }
  if (!active_list_.empty() && now >= next_idle_check_) give_back_idle(now);
  if (!starved_list_.empty() && now >= next_starved_check_) wake_starved();
}

void Session::wake_starved() {
  while (Stream* const stream = starved_list_.front()) {
    stream->starved_hook.unlink();
    signal(*stream, kWritable);
  }
}

/// docs/protocol.md §3.3 (dead) and §7 (suspected).
void Session::check_lanes(Instant now) {
  std::vector<LaneId> dead;
  for (const auto& [id, lane] : lanes_) {
    lane->handle_timeout(now);
    if (now - lane->last_received >= kLaneDeadAfter) {
      dead.push_back(id);
    } else if (now - std::max(lane->last_received, lane->last_ping) >= kPingAfter) {
      lane->ping_due = true;
      lane->last_ping = now;
      ++lane->unanswered_pings;
    }
  }
  for (const auto& [id, lane] : lanes_) {
    const auto stall = redelivery_deadline(*lane);
    if (!stall || *stall > now) continue;
    if (some_lane_is_well_beside(*lane)) suspect(*lane);
  }
  for (const LaneId id : dead) {
    session_events_.push_back(
        {SessionEvent::Kind::LaneDead, id, Errc::TimedOut, "nothing was received for 2.5 s"});
    handle_lane_lost(id, now);
  }
}

/// Who was idle for a second gives back credit above the minimum (docs/protocol.md §8.4): a stream in both
/// directions and what is only kept for the next byte, a busy one in the direction that nothing goes.
void Session::give_back_idle(Instant now) {
  next_idle_check_ = now + kIdleReturnAfter;
  for (Stream* stream = active_list_.front(); stream != nullptr;) {
    Stream* const next = active_list_.next(*stream);
    const bool busy = now - stream->last_active < kIdleReturnAfter || !stream->send.all_accepted() ||
                      stream->receive.has_readable();
    const bool returns = stream->phase == StreamPhase::Open &&
                         (busy ? stream->send.return_credit_if_idle() : stream->send.return_idle_credit());
    if (returns) make_due(*stream, kReturnDue);
    if (!busy) {
      stream->send.release_idle_storage();
      stream->receive.release_idle_storage();
      stream->active_hook.unlink();
    }
    stream = next;
  }
}

void Session::drain(Duration timeout, Instant) {
  if (draining_ || ended_) return;
  draining_ = true;
  drain_due_ = true;
  drain_ms_ =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count());
}

void Session::end(Errc reason, std::string_view text, Instant) {
  if (ended_) return;
  finish_ending(reason, text);
  for (const auto& [id, lane] : lanes_) lane->end_due = true;
}

void Session::finish_ending(Errc reason, std::string_view text) {
  if (ended_) return;
  ended_ = true;
  end_reason_ = reason;
  end_text_ = text.substr(0, kMaxTextSize);
  for (auto& [id, stream] : streams_) {
    const bool running = stream->phase != StreamPhase::Ended && stream->phase != StreamPhase::Resetting;
    if (running) {
      release_halves(*stream);
      ++reset_total_;
      stream->reset_reason = reason;
      stream->reset_text = end_text_;
      if ((stream->signals & kOffered) != 0) disown(*stream);
      signal(*stream, kReset);
    }
    stream->phase = StreamPhase::Ended;
    stream->ack_fin_receipted = true;
    stream->due = 0;
    stream->control_hook.unlink();
  }
  const std::size_t forgotten =
      std::erase_if(streams_, [](const auto& entry) { return entry.second->told_end; });
  memory_.release(forgotten * kStreamObject);
}

std::vector<LaneStats> Session::lane_stats(Instant now) const {
  std::vector<LaneStats> all;
  for (const auto& [id, lane] : lanes_) {
    all.push_back({id, lane->round_trip(), now - lane->last_received, lane->suspected, lane->retiring,
                   lane->sent_bytes, lane->received_bytes});
  }
  return all;
}

}  // namespace culvert
