#include "tests/sim/world/lanes.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {

LineHabits LineHabits::random(Random& random) {
  LineHabits habits;
  habits.latency = Duration{static_cast<Duration::rep>(random.spread(200'000'000))};
  habits.rate = 100e3 * static_cast<double>(std::uint64_t{1} << random.below(12));
  // Alike on a common path, different on several, or nothing in common.
  constexpr std::uint64_t kSpreads[] = {1, 2, 64};
  habits.spread = kSpreads[random.below(3)];
  if (random.chance(40)) habits.answers_lost = static_cast<unsigned>(random.below(40));
  if (random.chance(40)) habits.requests_late = static_cast<unsigned>(random.below(60));
  habits.cut_anywhere = random.chance(50);
  return habits;
}

void Lanes::dial(LaneId id, std::uint32_t epoch, Instant now) {
  const Duration longest = std::max<Duration>(habits_.latency, 300ms);
  const auto other = static_cast<Duration::rep>(random_.between(1, habits_.spread));
  const bool further = random_.chance(50);
  const Duration latency = std::min(further ? habits_.latency * other : habits_.latency / other, longest);
  const double rate = habits_.rate / static_cast<double>(random_.between(1, habits_.spread));
  Pipe pipe{latency, std::max(rate, 50e3)};
  lanes_.push_back(std::make_unique<SimLane>(SimLane{.id = id, .epoch = epoch, .to = {pipe, pipe}}));
  SimLane& lane = *lanes_.back();
  // TCP, TLS and the request take two round trips.
  lane.attach[1] = now + 4 * latency;
  if (random_.chance(habits_.requests_late)) lane.attach[1] += random_.span(3s);
  lane.answer_is_lost = random_.chance(habits_.answers_lost);
  lane.give_up = now + 6 * latency + 500ms + random_.span(5s);
}

std::size_t Lanes::pending_dials() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(lanes_, [](const auto& lane) { return lane->pending(); }));
}

bool Lanes::pump(Instant now) {
  bool acted = obey_sessions(now);
  for (const std::size_t side : {0U, 1U}) acted = pump_end(side, now) || acted;
  return acted;
}

/// As a driver does: the lane that is expected to deliver first is served first.
bool Lanes::pump_end(std::size_t side, Instant now) {
  Session& session = ends_[side]->session;
  LaneId order[kMaxLanes];
  const auto by_delivery = session.lanes_by_delivery();
  std::ranges::copy(by_delivery, order);
  bool acted = false;
  for (const LaneId id : std::span{order}.first(by_delivery.size())) {
    SimLane* const lane = find_up(id, side);
    if (lane != nullptr) acted = write(*lane, side, now) || acted;
  }
  return acted;
}

bool Lanes::write(SimLane& lane, std::size_t side, Instant now) {
  Pipe& out = lane.to[1 - side];
  bool acted = false;
  while (out.has_room(now)) {
    const auto frame = ends_[side]->session.poll_transmit(lane.id, now);
    if (!frame) break;
    acted = true;
    const bool had_closed = lane.ledger[side].closed;
    tap_.handle_frame(side, lane.ledger, frame->head, frame->payload);
    if (lane.ledger[side].closed && !had_closed) ends_[side]->check_lane_close(lane.id, lane.ledger, now);
    Bytes bytes;
    bytes.reserve(frame->size());
    bytes.insert(bytes.end(), frame->head.begin(), frame->head.end());
    bytes.insert(bytes.end(), frame->payload.begin(), frame->payload.end());
    carried_bytes_ += bytes.size();
    out.write(std::move(bytes), now);
  }
  return acted;
}

/// Closes the connections of lanes that a session has declared dead or given back.
bool Lanes::obey_sessions(Instant now) {
  bool acted = false;
  for (const std::size_t side : {0U, 1U}) {
    for (const LaneId dead : std::exchange(ends_[side]->dead_lanes, {})) {
      acted = true;
      SimLane* const lane = find_up(dead, side);
      if (lane == nullptr) continue;
      lane->up[side] = false;
      cut(*lane, true, now);
    }
    for (const LaneId closed : std::exchange(ends_[side]->closed_lanes, {})) {
      acted = true;
      close(closed, side, now);
    }
  }
  return acted;
}

/// The end that has heard and said LANE_CLOSE closes its connection; what it wrote before still arrives.
void Lanes::close(LaneId id, std::size_t side, Instant now) {
  SimLane* const lane = find_up(id, side);
  if (lane == nullptr) return;
  ends_[side]->session.handle_lane_lost(id, now);
  lane->up[side] = false;
  // The close follows the last bytes.
  if (lane->up[1 - side]) lane->notice[1 - side] = lane->to[1 - side].idle_from(now) + 1ms;
}

void Lanes::close_all(std::size_t side, Instant now) {
  for (auto& lane : lanes_) {
    lane->attach[side] = kNever;
    if (side == 0) lane->give_up = kNever;
    if (lane->up[side]) close(lane->id, side, now);
  }
}

void Lanes::run(Instant now) {
  for (auto& lane : lanes_) run_lane(*lane, now);
}

void Lanes::run_lane(SimLane& lane, Instant now) {
  if (lane.cut_at <= now) {
    lane.cut_at = kNever;
    cut(lane, random_.chance(60), now);
  }
  for (const std::size_t side : {1U, 0U}) {
    if (lane.attach[side] <= now) attach(lane, side, now);
    if (lane.up[side] && lane.to[side].next_arrival() <= now) {
      const Bytes bytes = lane.to[side].take(now);
      ends_[side]->receive(lane.id, bytes, random_, habits_.cut_anywhere, now);
    }
    if (lane.notice[side] > now) continue;
    lane.notice[side] = lane.attach[side] = kNever;
    if (lane.up[side]) ends_[side]->session.handle_lane_lost(lane.id, now);
    lane.up[side] = false;
    if (side == 0) fail_dial(lane, DialFailure::NoAnswer);
  }
  if (lane.give_up <= now) {
    fail_dial(lane, DialFailure::NoAnswer);
    lane.attach[0] = kNever;
    // The request may still be on its way; whether the gateway hears of the close is another matter.
    cut(lane, random_.chance(50), now);
  }
}

void Lanes::fail_dial(SimLane& lane, DialFailure failure) {
  if (!lane.pending()) return;
  lane.give_up = kNever;
  failures_.push_back(failure);
}

/// The gateway attaches at HELLO, the agent at the 101; either may find that the world has moved on.
void Lanes::attach(SimLane& lane, std::size_t side, Instant now) {
  lane.attach[side] = kNever;
  Session& session = ends_[side]->session;
  if (side == 0 && lane.refused) {
    const bool unknown = ends_[1]->session.ended();
    return fail_dial(lane, unknown ? DialFailure::UnknownSession : DialFailure::Refused);
  }
  if (side == 0 && lane.epoch < session.epoch()) {
    lane.give_up = kNever;  // Overtaken by a newer epoch: nobody wants it any more.
    return cut(lane, true, now);
  }
  const ByteCount replay{tap_.replay_memory(1 - side)};
  const auto attached = session.attach_lane(lane.id, lane.epoch, replay, now);
  // A driver closes the lanes of the older epoch before the new one takes its number.
  ends_[side]->take_session_events();
  obey_sessions(now);
  lane.up[side] = attached.has_value();
  if (side == 0) {
    if (attached) {
      lane.give_up = kNever;
    } else {
      fail_dial(lane, DialFailure::Refused);
      cut(lane, true, now);
    }
    return;
  }
  lane.refused = !attached;
  if (!lane.cut && !lane.answer_is_lost && lane.pending()) lane.attach[0] = now + lane.to[0].latency();
}

void Lanes::cut(SimLane& lane, bool noticed, Instant now) {
  const Duration latency = lane.to[0].latency();
  if (lane.cut) {
    // The other end closed it: whoever still holds it hears of that.
    if (noticed) {
      for (Instant& notice : lane.notice) notice = std::min(notice, now + latency + random_.span(50ms));
    }
    return;
  }
  lane.cut = true;
  ++cuts_;
  for (const std::size_t side : {0U, 1U}) {
    lane.to[side].cut(random_.chance(30) ? 0 : random_.below(lane.to[side].under_way() + 1), now);
    if (noticed || random_.chance(50)) lane.notice[side] = now + random_.span(random_.chance(80) ? 50ms : 1s);
    // The 101 is lost with the rest; HELLO may have got through.
    if (side == 0 || random_.chance(50)) lane.attach[side] = kNever;
  }
}

void Lanes::cut_all(Instant now) {
  for (auto& lane : lanes_) cut(*lane, random_.chance(60), now);
}

Instant Lanes::next(Instant now) const {
  Instant next = kNever;
  const auto consider = [&](Instant at) { next = std::min(next, at); };
  for (const auto& lane : lanes_) {
    consider(lane->give_up);
    consider(lane->cut_at);
    for (const std::size_t side : {0U, 1U}) {
      consider(lane->attach[side]);
      consider(lane->notice[side]);
      if (!lane->up[side]) continue;
      consider(lane->to[side].next_arrival());
      const Instant room = lane->to[1 - side].next_room(now);
      if (room > now) consider(room);
    }
  }
  return next;
}

void Lanes::forget_gone() {
  std::erase_if(lanes_, [](const auto& lane) { return lane->is_forgotten(); });
}

SimLane* Lanes::find_up(LaneId id, std::size_t side) const {
  for (const auto& lane : lanes_) {
    if (lane->id == id && lane->up[side]) return lane.get();
  }
  return nullptr;
}

void Lanes::check() const {
  for (const std::size_t side : {0U, 1U}) {
    const auto up = std::ranges::count_if(lanes_, [side](const auto& lane) { return lane->up[side]; });
    expect(static_cast<std::size_t>(up) == ends_[side]->session.lane_count(),
           "the session has the lanes that are connected");
  }
}

}  // namespace culvert::sim
