#include "tests/sim/world/simulation.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {
namespace {

/// After calm has returned; slow lines and slow readers need some of it.
constexpr Duration kPatience = 20min;
constexpr Duration kAgentDeadline = 20s;  ///< In worlds whose sessions end.
constexpr Duration kGatewayDeadline = kAgentDeadline + 30s;

SessionConfig config_of(Role role, bool lasts, const Scale& scale, Random& random) {
  SessionConfig config;
  config.role = role;
  config.memory = ByteCount{random.between(1, scale.most_memory_mib) << 20};
  config.open_timeout = 2min;
  config.resume_deadline = lasts ? Duration{1h} : role == Role::Agent ? kAgentDeadline : kGatewayDeadline;
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
      fate_(random_.chance(90) ? Fate::Lasts : static_cast<Fate>(random_.between(1, 5))),
      agent_(config_of(Role::Agent, fate_ == Fate::Lasts, scale, random_), slabs_of(scale),
             process_ceiling(random_), now_),
      gateway_(config_of(Role::Gateway, fate_ == Fate::Lasts, scale, random_), slabs_of(scale),
               process_ceiling(random_), now_),
      lanes_(agent_, gateway_, tap_, random_),
      keeper_(agent_, lanes_, random_),
      calm_from_(now_ + random_.span(20s)),
      next_mischief_(now_ + random_.span(1s)),
      both_retire_(random_.chance(20)),
      next_open_(now_) {
  const std::uint64_t most_bytes = random_.chance(20) ? 10 * scale.most_bytes : scale.most_bytes;
  for (Endpoint* end : {&agent_, &gateway_}) {
    end->records = &records_;
    end->most_bytes = most_bytes;
    tap_.set_replay_memory(end->side, random_.chance(20) ? random_.between(16, 1024) << 10 : 64 << 20);
  }
  streams_to_open_ =
      most_bytes > scale.most_bytes ? random_.between(1, 3) : random_.spread(scale.most_streams);
  if (random_.chance(20)) calm_from_ = now_;
  if (fate_ != Fate::Lasts) fate_at_ = now_ + random_.span(10s);
}

std::optional<std::string> Simulation::run() try {
  while (!is_done()) {
    step();
    if (now_ - std::max(calm_from_, start_) > kPatience) {
      throw Failure{"not every stream came to its end:" + agent_.describe(tap_) + gateway_.describe(tap_)};
    }
  }
  if (fate_is_met_) {
    pump();
    expect(agent_.all_over() && gateway_.all_over(), "every stream of an ended session is told so");
  }
  for (const std::size_t side : {0U, 1U}) lanes_.close_all(side, now_);
  agent_.check_empty();
  gateway_.check_empty();
  return std::nullopt;
} catch (const Failure& failure) {
  return failure.what();
}

bool Simulation::is_done() const {
  if (fate_is_met_) return agent_.session.ended() && gateway_.session.ended();
  if (streams_to_open_ > 0 || !agent_.all_over() || !gateway_.all_over()) return false;
  const std::uint32_t last = records_.empty() ? 0 : records_.rbegin()->first;
  return agent_.all_forgotten(last) && gateway_.all_forgotten(last);
}

void Simulation::step() {
  pump();
  now_ = next_instant();
  expect(now_ != kNever, "something is still to happen");
  if (now_ >= next_open_) open_streams();
  if (now_ >= next_mischief_) do_mischief();
  if (now_ >= fate_at_) meet_fate();
  lanes_.run(now_);
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
    acted = lanes_.pump(now_) || acted;
    if (!acted) break;
  }
  follow_ended_session();
  keeper_.act(now_);
  lanes_.check();
  for (Endpoint* end : {&agent_, &gateway_}) {
    end->check_memory();
    // A timer that is in the past after all has been done would spin the driver that waits for it.
    timeout_[end->side] = end->session.poll_timeout();
    expect(timeout_[end->side] > now_, "handle_timeout() moves poll_timeout() on");
  }
}

Instant Simulation::next_instant() const {
  Instant next = std::min({agent_.next_act(), gateway_.next_act(), lanes_.next(now_), keeper_.next(),
                           timeout_[0], timeout_[1], fate_at_});
  if (streams_to_open_ > 0) next = std::min(next, next_open_);
  if (now_ < calm_from_) next = std::min(next, next_mischief_);
  return std::max(now_, next);
}

void Simulation::do_mischief() {
  next_mischief_ = now_ + random_.span(random_.chance(50) ? 50ms : 3s);
  if (lanes_.all().empty() || now_ >= calm_from_) return;
  SimLane& lane = *lanes_.all()[random_.below(lanes_.all().size())];
  switch (random_.below(8)) {
    case 0:
    case 1:
      return lanes_.cut(lane, random_.chance(60), now_);
    case 2:
      return lanes_.cut_all(now_);
    case 3:
    case 4: {
      const Instant until = now_ + random_.span(random_.chance(80) ? 600ms : 4s);
      if (random_.chance(70)) lane.to[0].stall_until(until);
      if (random_.chance(70)) lane.to[1].stall_until(until);
      return;
    }
    case 5:
    case 6:
      return retire(lane);
    default:
      return keeper_.want(random_.between(1, 6));
  }
}

/// Giving a lane back races with its cut, with the other end's giving it back, and with both.
void Simulation::retire(SimLane& lane) {
  const std::size_t first = both_retire_ ? random_.below(2) : 0;
  if (lane.up[first]) end(first).session.retire_lane(lane.id);
  if (both_retire_ && random_.chance(50) && lane.up[1 - first]) {
    end(1 - first).session.retire_lane(lane.id);
  }
  if (random_.chance(40)) lane.cut_at = now_ + random_.span(lane.to[0].latency() * 4 + 20ms);
}

void Simulation::open_streams() {
  if (streams_to_open_ == 0) return;
  --streams_to_open_;
  next_open_ = now_ + (random_.chance(60) ? Duration{} : random_.span(500ms));
  Endpoint& opener = end(random_.chance(80) ? 0 : 1);
  opener.open_stream(Habits::random(random_, opener.most_bytes), random_, now_);
}

void Simulation::meet_fate() {
  Endpoint& ending = end(fate_ == Fate::GatewayDrains || fate_ == Fate::GatewayEnds ? 1 : 0);
  fate_at_ = kNever;
  if (fate_ == Fate::AgentDrains || fate_ == Fate::GatewayDrains) {
    agent_.farewell.may_drain = gateway_.farewell.may_drain = true;
    const Duration time = random_.span(10s);
    ending.session.drain(time, now_);
    fate_ = ending.side == 0 ? Fate::AgentEnds : Fate::GatewayEnds;
    fate_at_ = now_ + time;
    return;
  }
  fate_is_met_ = true;
  agent_.farewell.may_end = gateway_.farewell.may_end = true;
  if (fate_ == Fate::OutageTooLong) {
    keeper_.pause_until(now_ + 10min);
    return lanes_.cut_all(now_);
  }
  ending.session.end(Errc::ShuttingDown, "", now_);
}

/// An end without a session closes its connections behind SESSION_END, and refuses new ones.
void Simulation::follow_ended_session() {
  for (const std::size_t side : {0U, 1U}) {
    if (end(side).session.ended()) lanes_.close_all(side, now_);
  }
  if (agent_.session.ended()) keeper_.stop();
}

}  // namespace culvert::sim
