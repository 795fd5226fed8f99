#include "tests/sim/world/simulation.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {
namespace {

constexpr Duration kPatience =
    20min;  ///< After calm has returned; slow lines and slow readers need some of it.

SessionConfig config_of(Role role, const Scale& scale, Random& random) {
  SessionConfig config;
  config.role = role;
  config.memory = ByteCount{random.between(1, scale.most_memory_mib) << 20};
  config.open_timeout = 2min;
  config.resume_deadline = 1h;
  config.read_ahead = random.between(1, 16) * kMaxPayload;
  if (random.chance(5)) config.streams = random.between(1, 10);
  return config;
}

ByteCount process_ceiling(Random& random) {
  return ByteCount{(random.chance(70) ? 64 : random.between(1, 8)) << 20};
}

/// What a session may reserve, and room for what no reservation covers: frames in hand, edges of windows.
std::size_t slabs_of(const Scale& scale) {
  return (scale.most_memory_mib << 20) / kSlabSize + 4 * scale.most_streams + 64;
}

}  // namespace

Simulation::Simulation(Random random, Scale scale)
    : random_(random),
      agent_(config_of(Role::Agent, scale, random_), slabs_of(scale), process_ceiling(random_), now_),
      gateway_(config_of(Role::Gateway, scale, random_), slabs_of(scale), process_ceiling(random_), now_),
      calm_from_(now_ + random_.span(20s)),
      next_mischief_(now_ + random_.span(1s)),
      next_dial_(now_ + random_.span(100ms)),
      next_open_(now_) {
  const std::uint64_t most_bytes = random_.chance(20) ? 10 * scale.most_bytes : scale.most_bytes;
  for (Endpoint* end : {&agent_, &gateway_}) {
    end->records = &records_;
    end->most_bytes = most_bytes;
  }
  wanted_lanes_ = random_.chance(40) ? 1 : random_.between(2, 6);
  latency_ = Duration{static_cast<Duration::rep>(random_.spread(200'000'000))};
  rate_ = 100e3 * static_cast<double>(std::uint64_t{1} << random_.below(12));
  cut_anywhere_ = random_.chance(50);
  streams_to_open_ =
      most_bytes > scale.most_bytes ? random_.between(1, 3) : random_.spread(scale.most_streams);
  if (random_.chance(20)) calm_from_ = now_;
}

std::optional<std::string> Simulation::run() try {
  while (!is_done()) {
    step();
    if (now_ - std::max(calm_from_, start_) > kPatience) {
      std::string stuck = "not every stream came to its end:";
      for (const std::size_t side : {0U, 1U}) {
        for (const auto& [id, application] : end(side).applications) {
          if (application->over()) continue;
          const Flow& out = tap_.flow(StreamId{id}, side);
          stuck += " " + std::to_string(id) + (side == 0 ? "a" : "g") + " written " +
                   std::to_string(records_[id].written[side]) + " sent " + std::to_string(out.sent) +
                   " accepted " + std::to_string(out.accepted) + " consumed " + std::to_string(out.consumed) +
                   " granted " + std::to_string(out.granted) + " returned " + std::to_string(out.returned) +
                   ";";
        }
      }
      throw Failure{stuck};
    }
  }
  for (const auto& lane : lanes_) {
    for (const std::size_t side : {0U, 1U}) end(side).session.handle_lane_lost(lane->id, now_);
  }
  agent_.check_empty();
  gateway_.check_empty();
  return std::nullopt;
} catch (const Failure& failure) {
  return failure.what();
}

bool Simulation::is_done() const {
  if (streams_to_open_ > 0 || !agent_.all_over() || !gateway_.all_over()) return false;
  const std::uint32_t last = records_.empty() ? 0 : records_.rbegin()->first;
  return agent_.all_forgotten(last) && gateway_.all_forgotten(last);
}

void Simulation::step() {
  pump();
  now_ = next_instant();
  expect(now_ != Instant::max(), "something is still to happen");
  if (now_ >= next_open_) open_streams();
  if (now_ >= next_mischief_) do_mischief();
  if (now_ >= next_dial_) dial();
  for (auto& lane : lanes_) run_lane(*lane);
  for (const std::size_t side : {0U, 1U}) {
    if (end(side).session.poll_timeout() <= now_) end(side).session.handle_timeout(now_);
  }
}

/// Lets both ends act and write until nothing more can be done at this instant.
void Simulation::pump() {
  for (int rounds = 0;; ++rounds) {
    expect(rounds < 1'000'000, "an instant ends");
    bool acted = agent_.act(tap_, random_, now_);
    acted = gateway_.act(tap_, random_, now_) || acted;
    close_dead_lanes();
    for (auto& lane : lanes_) acted = pump_lane(*lane) || acted;
    if (!acted) break;
  }
  agent_.check_memory();
  gateway_.check_memory();
  check_timers();
}

bool Simulation::pump_lane(Lane& lane) {
  bool acted = false;
  for (const std::size_t side : {0U, 1U}) {
    Pipe& out = lane.to[1 - side];
    while (lane.up[side] && out.has_room(now_)) {
      const auto frame = end(side).session.poll_transmit(lane.id, now_);
      if (!frame) break;
      acted = true;
      tap_.handle_frame(side, frame->head, frame->payload);
      Bytes bytes(frame->head.begin(), frame->head.end());
      bytes.insert(bytes.end(), frame->payload.begin(), frame->payload.end());
      delivered_ += bytes.size();
      out.write(std::move(bytes), now_);
    }
  }
  return acted;
}

/// A timer that is in the past after all has been done would spin the driver that waits for it.
void Simulation::check_timers() const {
  for (const std::size_t side : {0U, 1U}) {
    expect(end(side).session.poll_timeout() > now_, "handle_timeout() moves poll_timeout() on");
  }
}

void Simulation::close_dead_lanes() {
  for (const std::size_t side : {0U, 1U}) {
    for (const LaneId dead : end(side).dead_lanes) {
      for (auto& lane : lanes_) {
        if (lane->id != dead) continue;
        lane->up[side] = false;
        lane->attach[side] = Instant::max();
        cut(*lane, true);
      }
    }
    end(side).dead_lanes.clear();
    for (const LaneId closed : end(side).closed_lanes) close_lane(closed, side);
    end(side).closed_lanes.clear();
  }
}

/// The end that has heard and said LANE_CLOSE closes its connection; what it wrote before still arrives.
void Simulation::close_lane(LaneId id, std::size_t side) {
  for (auto& lane : lanes_) {
    if (lane->id != id || !lane->up[side]) continue;
    end(side).session.handle_lane_lost(id, now_);
    lane->up[side] = false;
    // The close follows the last bytes.
    if (lane->up[1 - side]) lane->notice[1 - side] = lane->to[1 - side].idle_from(now_) + 1ms;
  }
}

Instant Simulation::next_instant() const {
  Instant next = std::min(agent_.next_act(), gateway_.next_act());
  const auto consider = [&](Instant at) { next = std::min(next, at); };
  if (streams_to_open_ > 0) consider(next_open_);
  if (now_ < calm_from_) consider(next_mischief_);
  consider(next_dial_);
  for (const std::size_t side : {0U, 1U}) {
    consider(end(side).session.poll_timeout());
    for (const auto& lane : lanes_) {
      consider(lane->attach[side]);
      consider(lane->notice[side]);
      if (lane->up[side]) consider(lane->to[side].next_arrival());
    }
  }
  // A full socket empties while bytes arrive, or at the latest within this time.
  return std::max(now_, std::min(next, now_ + 20ms));
}

void Simulation::run_lane(Lane& lane) {
  for (const std::size_t side : {0U, 1U}) {
    if (lane.attach[side] <= now_) attach(lane, side);
    if (lane.up[side]) deliver(lane, side);
    if (lane.notice[side] > now_) continue;
    lane.notice[side] = Instant::max();
    lane.attach[side] = Instant::max();
    if (lane.up[side]) end(side).session.handle_lane_lost(lane.id, now_);
    lane.up[side] = false;
  }
}

void Simulation::attach(Lane& lane, std::size_t side) {
  lane.attach[side] = Instant::max();
  const auto attached =
      end(side).session.attach_lane(lane.id, lane.epoch, ByteCount{random_.between(1, 64) << 20}, now_);
  lane.up[side] = attached.has_value();
  if (!attached) cut(lane, true);
}

void Simulation::deliver(Lane& lane, std::size_t side) {
  const Bytes bytes = lane.to[side].take(now_);
  end(side).receive(lane.id, bytes, random_, cut_anywhere_, now_);
}

/// The agent keeps as many lanes as it wants, and raises the epoch when it believes to have none.
void Simulation::dial() {
  next_dial_ = now_ + 5ms + random_.span(100ms);
  std::erase_if(lanes_, [](const auto& lane) {
    const auto idle = [&](std::size_t side) {
      return !lane->up[side] && lane->attach[side] == Instant::max() && lane->notice[side] == Instant::max();
    };
    return idle(0) && idle(1);
  });
  std::size_t present = 0;
  for (const auto& lane : lanes_) {
    present += (lane->up[0] || lane->attach[0] != Instant::max()) && lane->epoch == epoch_ ? 1 : 0;
  }
  if (present >= wanted_lanes_) return;
  if (present == 0 && agent_.session.lane_count() == 0) ++epoch_;
  const Instant at = now_ + latency_;
  lanes_.push_back(std::make_unique<Lane>(Lane{LaneId{next_lane_++},
                                               epoch_,
                                               {Pipe{latency_, rate_}, Pipe{latency_, rate_}},
                                               {false, false},
                                               {at + latency_, at},
                                               {Instant::max(), Instant::max()}}));
}

/// Both directions lose what is under way, but for a part that may end inside a frame.
void Simulation::cut(Lane& lane, bool noticed) {
  if (lane.cut) {
    // The other end closed it: whoever still holds it hears of that.
    if (noticed) {
      for (Instant& notice : lane.notice) notice = std::min(notice, now_ + latency_ + random_.span(50ms));
    }
    return;
  }
  lane.cut = true;
  ++cuts_;
  for (const std::size_t side : {0U, 1U}) {
    lane.to[side].cut(random_.chance(30) ? 0 : random_.below(lane.to[side].under_way() + 1), now_);
    if (noticed || random_.chance(50))
      lane.notice[side] = now_ + random_.span(random_.chance(80) ? 50ms : 1s);
    if (lane.attach[side] != Instant::max() && random_.chance(50)) {
      lane.attach[side] = Instant::max();
      if (!lane.up[side]) lane.notice[side] = Instant::max();
    }
  }
}

void Simulation::do_mischief() {
  next_mischief_ = now_ + random_.span(random_.chance(50) ? 50ms : 3s);
  if (lanes_.empty() || now_ >= calm_from_) return;
  Lane& lane = *lanes_[random_.below(lanes_.size())];
  switch (random_.below(7)) {
    case 0:
    case 1:
      return cut(lane, random_.chance(60));
    case 2:
      for (auto& each : lanes_) cut(*each, random_.chance(60));
      return;
    case 3:
    case 4: {
      const Instant until = now_ + random_.span(random_.chance(80) ? 600ms : 4s);
      if (random_.chance(70)) lane.to[0].stall_until(until);
      if (random_.chance(70)) lane.to[1].stall_until(until);
      return;
    }
    case 5:
      return agent_.session.retire_lane(lane.id);
    default:
      wanted_lanes_ = random_.between(1, 6);
  }
}

void Simulation::open_streams() {
  if (streams_to_open_ == 0) return;
  --streams_to_open_;
  next_open_ = now_ + (random_.chance(60) ? Duration{} : random_.span(500ms));
  Endpoint& opener = end(random_.chance(80) ? 0 : 1);
  opener.open_stream(Habits::random(random_, opener.most_bytes), now_);
}

}  // namespace culvert::sim
