#include "tests/sim/world/choice_world.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"
#include "tests/sim/world/hash.hpp"

namespace culvert::sim {
namespace {

constexpr Duration kStep = 10ms;  ///< Receipts and delayed ACKs become due by it.
constexpr Duration kStallTime = 700ms;

SessionConfig config_of(Role role) {
  SessionConfig config;
  config.role = role;
  config.memory = 1_MiB;
  return config;
}

}  // namespace

ChoiceWorld::ChoiceWorld(const ChoiceBounds& bounds, Random random)
    : bounds_(bounds),
      random_(random),
      agent_(config_of(Role::Agent), 128, 8_MiB, now_[0]),
      gateway_(config_of(Role::Gateway), 128, 8_MiB, now_[1]),
      extra_dials_left_(bounds.extra_dials),
      faults_left_(bounds.faults),
      early_timers_left_(bounds.early_timers) {
  for (Endpoint* end : {&agent_, &gateway_}) {
    end->records = &records_;
    end->most_bytes = bounds.most_bytes;
    tap_.set_replay_memory(end->side, 1 << 20);
    if (bounds.most_bytes == 0) end->offered_habits = end->side == 0 ? bounds.agent : bounds.gateway;
  }
  for (std::size_t i = 0; i < bounds.streams; ++i) {
    Endpoint& opener = end(bounds.most_bytes > 0 && random_.chance(30) ? 1 : 0);
    const Habits habits = bounds.most_bytes > 0 ? Habits::random(random_, bounds.most_bytes) : bounds.agent;
    opener.open_stream(habits, random_, now_[opener.side]);
  }
  for (std::size_t i = 0; i < std::max<std::size_t>(bounds.lanes_up, 1); ++i) {
    dial(1);
    if (i == bounds.lanes_up) break;
    hello(lanes_.back());
    answer(lanes_.back());
  }
  settle(0, 0);
  settle(1, 0);
}

bool ChoiceWorld::step(const Chooser& choose) {
  auto actions = possible();
  if (bounds_.timers) add_timers(actions);
  if (faults_left_ > 0) add_faults(actions);
  if (actions.empty() || is_over()) return false;
  act(actions[actions.size() == 1 ? 0 : choose(actions.size())], choose);
  check();
  return true;
}

/// What happens when nothing goes wrong, in whatever order.
std::vector<ChoiceWorld::Action> ChoiceWorld::possible() const {
  std::vector<Action> actions;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    const ChoiceLane& lane = lanes_[i];
    if (!lane.asked && !lane.answered) actions.push_back({Kind::Hello, i, 1});
    if (lane.asked && !lane.answered) actions.push_back({Kind::Answer, i, 0});
    for (const std::size_t side : {0U, 1U}) {
      if (!lane.up[side]) continue;
      if (!lane.to[side].empty())
        actions.push_back({Kind::Deliver, i, side});
      else if (lane.cut)
        actions.push_back({Kind::Notice, i, side});
    }
  }
  const std::size_t present = agent_lanes();
  const bool needed = present == 0;
  if (needed || (present < bounds_.lanes && extra_dials_left_ > 0)) actions.push_back({Kind::Dial});
  return actions;
}

/// Something will happen without a timer. The news of a loss is none of that: until it comes, timers are all
/// that there is.
bool ChoiceWorld::is_moving() const {
  return std::ranges::any_of(possible(), [](const Action& action) { return action.kind != Kind::Notice; });
}

/// With nothing on its way time passes for both ends alike, and the nearer timer goes off; of two at about
/// the same moment either. What is on its way may be late for as long as any timer takes, but only so often.
void ChoiceWorld::add_timers(std::vector<Action>& actions) const {
  const bool early = is_moving();
  if (early && early_timers_left_ == 0) return;
  const Duration left[] = {next_timer(0) - now_[0], next_timer(1) - now_[1]};
  for (const std::size_t side : {0U, 1U}) {
    if (next_timer(side) == kNever || (!early && left[side] > left[1 - side] + kStep)) continue;
    actions.push_back({Kind::Wait, 0, side});
  }
}

void ChoiceWorld::add_faults(std::vector<Action>& actions) const {
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    const ChoiceLane& lane = lanes_[i];
    if (!lane.cut && (lane.up[0] || lane.up[1] || !lane.answered)) actions.push_back({Kind::Cut, i});
    if (lane.up[0] && lane.up[1]) actions.push_back({Kind::Retire, i, 0});
    if (bounds_.cut_anywhere && lane.up[1]) actions.push_back({Kind::Retire, i, 1});
  }
  for (const std::size_t side : {0U, 1U}) {
    if (end(side).session.lane_count() > 1) actions.push_back({Kind::Stall, 0, side});
  }
  if (agent_lanes() > 0 && extra_dials_left_ > 0) actions.push_back({Kind::Overtake});
}

void ChoiceWorld::act(const Action& action, const Chooser& choose) {
  static constexpr const char* kNames[] = {
      "deliver on", "HELLO of", "answer of", "loss seen of",       "dial",
      "cut",        "stall",    "give back", "dial a newer epoch", "timer"};
  story_ += kNames[static_cast<int>(action.kind)];
  story_ += " lane " + std::to_string(action.lane) + (action.side == 0 ? " agent\n" : " gateway\n");
  switch (action.kind) {
    case Kind::Deliver:
      return deliver(lanes_[action.lane], action.side);
    case Kind::Hello:
      return hello(lanes_[action.lane]);
    case Kind::Answer:
      return answer(lanes_[action.lane]);
    case Kind::Notice:
      return notice(lanes_[action.lane], action.side);
    case Kind::Dial:
      if (agent_lanes() > 0) --extra_dials_left_;
      return dial(agent_.session.lane_count() > 0 ? agent_.session.epoch() : last_epoch_ + 1);
    case Kind::Cut:
      return cut(lanes_[action.lane], choose);
    case Kind::Stall:
      return stall(action.side);
    case Kind::Retire:
      --faults_left_;
      end(action.side).session.retire_lane(lanes_[action.lane].id);
      return settle(action.side, 1000 + action.lane);
    case Kind::Overtake:
      --faults_left_;
      --extra_dials_left_;
      return dial(last_epoch_ + 1);
    case Kind::Wait:
      if (is_moving())
        --early_timers_left_;
      else
        pass(1 - action.side, next_timer(action.side) - now_[action.side]);
      return wait(action.side);
  }
}

void ChoiceWorld::deliver(ChoiceLane& lane, std::size_t side) {
  const Chunk chunk = std::move(lane.to[side].front());
  lane.to[side].pop_front();
  const bool was_full = std::exchange(lane.full[1 - side], false);
  const std::size_t index = static_cast<std::size_t>(&lane - lanes_.data());
  mix(past_[side], chunk);
  end(side).receive(lane.id, chunk, random_, false, now_[side]);
  settle(side, 2000 + index);
  if (was_full) settle(1 - side, 3000 + index);
}

void ChoiceWorld::hello(ChoiceLane& lane) {
  lane.asked = true;
  const auto attached =
      gateway_.session.attach_lane(lane.id, lane.epoch, ByteCount{tap_.replay_memory(0)}, now_[1]);
  gateway_.take_session_events();
  obey_session(1);
  lane.up[1] = attached.has_value();
  lane.refused = !attached;
  settle(1, 4000 + lane.id.value + 100 * lane.epoch);
}

void ChoiceWorld::answer(ChoiceLane& lane) {
  lane.answered = true;
  if (lane.refused || lane.epoch < agent_.session.epoch()) {
    lane.cut = true;
    return;
  }
  const auto attached =
      agent_.session.attach_lane(lane.id, lane.epoch, ByteCount{tap_.replay_memory(1)}, now_[0]);
  agent_.take_session_events();
  obey_session(0);
  lane.up[0] = attached.has_value();
  if (!attached) lane.cut = true;
  settle(0, 5000 + lane.id.value + 100 * lane.epoch);
}

void ChoiceWorld::notice(ChoiceLane& lane, std::size_t side) {
  lane.up[side] = false;
  end(side).session.handle_lane_lost(lane.id, now_[side]);
  settle(side, 6000 + static_cast<std::size_t>(&lane - lanes_.data()));
}

/// Of what is under way a part still arrives; the dial that is not answered yet never is.
void ChoiceWorld::cut(ChoiceLane& lane, const Chooser& choose) {
  --faults_left_;
  lane.cut = lane.answered = true;
  for (auto& chunks : lane.to) {
    if (chunks.empty()) continue;
    const std::size_t most = chunks.front().size();
    const std::size_t kept = bounds_.cut_anywhere ? choose(most + 1) : choose(2) * most / 2;
    chunks.resize(1);
    chunks.front().resize(kept);
    if (kept == 0) chunks.clear();
  }
}

/// Time without receipts, while signs of life arrive on every lane.
void ChoiceWorld::stall(std::size_t side) {
  --faults_left_;
  now_[side] += kStallTime;
  for (const ChoiceLane& lane : lanes_) {
    if (lane.up[side]) end(side).session.handle_lane_alive(lane.id, now_[side]);
  }
  settle(side, 7000);
}

void ChoiceWorld::dial(std::uint32_t epoch) {
  if (epoch > last_epoch_) next_number_ = 1;
  last_epoch_ = std::max(last_epoch_, epoch);
  lanes_.push_back({LaneId{next_number_++}, epoch, {}});
  mix(past_[0], 8000 + epoch);
}

void ChoiceWorld::settle(std::size_t side, std::uint64_t what) {
  Endpoint& here = end(side);
  now_[side] += kStep;
  mix(past_[side], what);
  if (here.session.poll_timeout() <= now_[side]) here.session.handle_timeout(now_[side]);
  for (bool acted = true; acted;) {
    acted = here.act(tap_, random_, now_[side]);
    obey_session(side);
    if (acted && bounds_.gathers) continue;
    acted = write(side) || acted;
  }
}

void ChoiceWorld::obey_session(std::size_t side) {
  Endpoint& here = end(side);
  for (const LaneId dead : std::exchange(here.dead_lanes, {})) {
    ChoiceLane* const lane = find_up(dead, side);
    if (lane == nullptr) continue;
    lane->up[side] = false;
    lane->cut = true;
  }
  for (const LaneId closed : std::exchange(here.closed_lanes, {})) {
    ChoiceLane* const lane = find_up(closed, side);
    if (lane == nullptr) continue;
    here.session.handle_lane_lost(closed, now_[side]);
    lane->up[side] = false;
    lane->cut = true;  // The close follows what is under way.
  }
}

bool ChoiceWorld::write(std::size_t side) {
  bool acted = false;
  const auto by_delivery = end(side).session.lanes_by_delivery();
  const std::vector<LaneId> order(by_delivery.begin(), by_delivery.end());
  for (const LaneId id : order) {
    ChoiceLane* const lane = find_up(id, side);
    if (lane == nullptr) throw Failure{"the session has the lanes that are connected"};
    while (write_chunk(*lane, side)) acted = true;
  }
  return acted;
}

bool ChoiceWorld::write_chunk(ChoiceLane& lane, std::size_t side) {
  auto& out = lane.to[1 - side];
  // What is cut takes as much as a socket would, for as long as nobody has noticed.
  const bool has_room = lane.cut ? lane.vanished[1 - side] < bounds_.room : out.size() < bounds_.room;
  mix(past_[side], has_room ? 1 : 2);
  if (!has_room) {
    lane.full[side] = !lane.cut;
    return false;
  }
  Bytes bytes;
  bool has_data = false;
  while (!has_data) {
    const auto frame = end(side).session.poll_transmit(lane.id, now_[side]);
    if (!frame) break;
    const bool had_closed = lane.ledger[side].closed;
    tap_.handle_frame(side, lane.ledger, frame->head, frame->payload);
    if (lane.ledger[side].closed && !had_closed) end(side).check_lane_close(lane.id, lane.ledger, now_[side]);
    bytes.insert(bytes.end(), frame->head.begin(), frame->head.end());
    bytes.insert(bytes.end(), frame->payload.begin(), frame->payload.end());
    has_data = frame->size() > kPackBelow;
  }
  if (bytes.empty()) return false;
  if (lane.cut) {
    ++lane.vanished[1 - side];
  } else {
    out.push_back(std::move(bytes));
  }
  return true;
}

void ChoiceWorld::finish() {
  faults_left_ = 0;
  extra_dials_left_ = 0;
  const Chooser none = [](std::size_t) { return std::size_t{0}; };
  for (int steps = 0; !is_done(); ++steps) {
    expect(steps < 20'000, "once nothing goes wrong, every stream comes to its end");
    const auto actions = possible();
    // In turn, so that no lane waits for another one for ever.
    if (!actions.empty()) act(actions[static_cast<std::size_t>(steps) % actions.size()], none);
    if (actions.empty()) expect(pass_time(), "something is still to happen");
    check();
  }
  for (ChoiceLane& lane : lanes_) {
    for (const std::size_t side : {0U, 1U}) {
      if (lane.up[side]) end(side).session.handle_lane_lost(lane.id, now_[side]);
    }
  }
  agent_.check_empty();
  gateway_.check_empty();
}

bool ChoiceWorld::pass_time() {
  bool any = false;
  for (const std::size_t side : {0U, 1U}) {
    if (next_timer(side) == kNever) continue;
    wait(side);
    any = true;
  }
  return any;
}

Instant ChoiceWorld::next_timer(std::size_t side) const {
  return std::min(end(side).session.poll_timeout(), end(side).next_act());
}

void ChoiceWorld::pass(std::size_t side, Duration time) {
  now_[side] += std::max(time, Duration{});
  mix(past_[side], static_cast<std::uint64_t>(time.count()));
}

/// Until that end's next timer goes off.
void ChoiceWorld::wait(std::size_t side) {
  now_[side] = std::max(now_[side], next_timer(side));
  settle(side, 9000);
}

bool ChoiceWorld::is_over() const {
  return is_done() && !(bounds_.timers && is_moving());
}

/// Every stream has come to its end, and both ends have forgotten it.
bool ChoiceWorld::is_done() const {
  if (!agent_.all_over() || !gateway_.all_over()) return false;
  const std::uint32_t last = records_.empty() ? 0 : records_.rbegin()->first;
  return agent_.all_forgotten(last) && gateway_.all_forgotten(last);
}

void ChoiceWorld::check() const {
  for (const std::size_t side : {0U, 1U}) {
    end(side).check_memory();
    const auto up = std::ranges::count_if(lanes_, [side](const ChoiceLane& lane) { return lane.up[side]; });
    expect(static_cast<std::size_t>(up) == end(side).session.lane_count(),
           "the session has the lanes that are connected");
  }
}

std::size_t ChoiceWorld::agent_lanes() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(lanes_, [](const ChoiceLane& lane) { return lane.up[0] || !lane.answered; }));
}

ChoiceWorld::ChoiceLane* ChoiceWorld::find_up(LaneId id, std::size_t side) {
  for (ChoiceLane& lane : lanes_) {
    if (lane.id == id && lane.up[side]) return &lane;
  }
  return nullptr;
}

std::uint64_t ChoiceWorld::fingerprint() const {
  std::uint64_t hash = past_[0];
  mix(hash, past_[1]);
  mix(hash, faults_left_ * 100 + extra_dials_left_);
  mix(hash, early_timers_left_);
  for (const ChoiceLane& lane : lanes_) {
    const std::uint64_t flags = lane.up[0] | lane.up[1] << 1 | lane.asked << 2 | lane.answered << 3 |
                                lane.refused << 4 | lane.cut << 5;
    mix(hash, flags);
    for (const std::size_t side : {0U, 1U}) {
      std::size_t bytes = 0;
      for (const Chunk& chunk : lane.to[side]) bytes += chunk.size();
      mix(hash, bytes << 16 | lane.to[side].size() << 8 | lane.vanished[side] << 4 | lane.full[side]);
    }
  }
  return hash;
}

}  // namespace culvert::sim
