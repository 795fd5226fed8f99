#include "tests/sim/world/bulk_world.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {
namespace {

constexpr ByteCount kProcessCeiling = 512_MiB;
constexpr std::size_t kSlabsBeyond =
    256;  ///< For what no reservation covers: frames in hand, edges of windows.
constexpr std::uint64_t kForEver = std::uint64_t{1} << 38;  ///< Bytes: more than any run carries.

SessionConfig config_of(Role role) {
  SessionConfig config;
  config.role = role;
  return config;
}

std::size_t slabs_of(const SessionConfig& config) {
  return config.memory.value / kSlabSize + kSlabsBeyond;
}

Habits reads_at_once() {
  Habits habits;
  habits.write_burst = habits.read_burst = 1 << 20;
  habits.steady = true;
  return habits;
}

}  // namespace

BulkWorld::BulkWorld(const std::vector<BulkLine>& lines)
    : agent_(config_of(Role::Agent), slabs_of({}), kProcessCeiling, now_),
      gateway_(config_of(Role::Gateway), slabs_of({}), kProcessCeiling, now_) {
  for (Endpoint* const each : {&agent_, &gateway_}) {
    each->records = &records_;
    each->offered_habits = reads_at_once();
    tap_.set_replay_memory(each->side, SessionConfig{}.memory.value);
  }
  for (const BulkLine& line : lines) {
    const Pipe pipe{line.round_trip / 2, line.mbit_a_second * 1e6 / 8};
    lanes_.push_back({LaneId{static_cast<std::uint32_t>(lanes_.size() + 1)}, {pipe, pipe}});
    for (const std::size_t side : {0U, 1U}) {
      const ByteCount replay{tap_.replay_memory(1 - side)};
      const auto attached = end(side).session.attach_lane(lanes_.back().id, 1, replay, now_);
      expect(attached.has_value(), "a new lane is attached");
    }
  }
  Habits bulk = reads_at_once();
  bulk.to_write = kForEver;
  agent_.open_stream(bulk, random_, now_);
}

std::uint64_t BulkWorld::arrived() const {
  return tap_.flow(StreamId{records_.begin()->first}, agent_.side).consumed;
}

void BulkWorld::run(Duration time) {
  const Instant until = now_ + time;
  for (;;) {
    pump();
    const Instant next_at = next();
    expect(next_at > now_, "after all has been done, the next thing is in the future");
    now_ = std::min(until, next_at);
    deliver();
    if (now_ == until) return pump();
  }
}

/// Lets both ends act and write until nothing more can be done at this instant.
void BulkWorld::pump() {
  bool acted = true;
  for (int rounds = 0; acted; ++rounds) {
    expect(rounds < 1'000'000, "an instant ends");
    acted = false;
    for (const std::size_t side : {0U, 1U}) {
      acted = end(side).act(tap_, random_, now_) || acted;
      acted = write(side) || acted;
    }
  }
  for (const std::size_t side : {0U, 1U}) {
    end(side).check_memory();
    expect(end(side).dead_lanes.empty(), "no lane is given up that nothing has happened to");
  }
}

bool BulkWorld::write(std::size_t side) {
  const auto by_delivery = end(side).session.lanes_by_delivery();
  const std::vector<LaneId> order(by_delivery.begin(), by_delivery.end());
  bool acted = false;
  for (const LaneId id : order) acted = write_lane(lanes_.at(id.value - 1), side) || acted;
  return acted;
}

bool BulkWorld::write_lane(BulkLane& lane, std::size_t side) {
  bool acted = false;
  while (room_from(lane, side) <= now_) {
    const auto frame = end(side).session.poll_transmit(lane.id, now_);
    if (!frame) break;
    acted = true;
    tap_.handle_frame(side, lane.ledger, frame->head, frame->payload);
    Bytes bytes(frame->head.begin(), frame->head.end());
    bytes.insert(bytes.end(), frame->payload.begin(), frame->payload.end());
    lane.to[1 - side].write(std::move(bytes), now_);
  }
  return acted;
}

/// As LaneDriver does it: so much sealed, and so much that the kernel has not sent.
Instant BulkWorld::room_from(const BulkLane& lane, std::size_t side) const {
  const LaneBudget budget = end(side).session.budget(lane.id);
  return lane.to[1 - side].room_from(budget.sealed + budget.in_kernel);
}

void BulkWorld::deliver() {
  for (BulkLane& lane : lanes_) {
    for (const std::size_t side : {0U, 1U}) {
      if (lane.to[side].next_arrival() > now_) continue;
      const Bytes bytes = lane.to[side].take(now_);
      end(side).receive(lane.id, bytes, random_, false, now_);
    }
  }
  for (const std::size_t side : {0U, 1U}) {
    if (end(side).session.poll_timeout() <= now_) end(side).session.handle_timeout(now_);
  }
}

Instant BulkWorld::next() const {
  Instant next = Instant::max();
  for (const std::size_t side : {0U, 1U}) {
    next = std::min({next, end(side).next_act(), end(side).session.poll_timeout()});
    for (const BulkLane& lane : lanes_) {
      next = std::min(next, lane.to[side].next_arrival());
      const Instant room = room_from(lane, side);
      if (room > now_) next = std::min(next, room);
    }
  }
  return next;
}

}  // namespace culvert::sim
