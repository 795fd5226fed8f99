#include "tests/sim/world/keeper.hpp"

#include <algorithm>

namespace culvert::sim {
namespace {

constexpr std::size_t kMostPending = 8;

}  // namespace

Keeper::Keeper(Endpoint& agent, Lanes& lanes, Random& random)
    : agent_(agent),
      lanes_(lanes),
      random_(random),
      beside_(1ms + random.span(1s)),
      wanted_(random.chance(40) ? 1 : random.between(2, 6)) {}

void Keeper::stop() {
  stopped_ = true;
  next_ = kNever;
}

void Keeper::act(Instant now) {
  if (stopped_) return;
  for (const Lanes::DialFailure failure : lanes_.take_failures()) handle_failure(failure, now);
  lanes_.forget_gone();
  if (now < paused_until_) {
    next_ = paused_until_;
  } else if (agent_.session.lane_count() == 0) {
    recover(now);
  } else {
    adjust(now);
  }
}

/// All dials of one outage share an epoch until one fails: each that succeeds is a lane.
void Keeper::recover(Instant now) {
  if (!outage_) {
    outage_ = Outage{last_epoch_ + 1, now + (random_.chance(60) ? Duration{} : random_.span(100ms))};
    next_number_ = 1;
  }
  if (now >= outage_->next_dial) {
    if (lanes_.pending_dials() < kMostPending) dial(outage_->epoch, now);
    outage_->next_dial = now + beside_;
  }
  next_ = outage_->next_dial;
}

void Keeper::adjust(Instant now) {
  outage_.reset();
  next_ = kNever;  // Until the world changes.
  const std::size_t present = agent_.session.line_load().lanes;
  if (present > wanted_) give_back(present - wanted_, now);
  if (present + lanes_.pending_dials() >= wanted_) return;
  if (now >= next_extra_) {
    dial(agent_.session.epoch(), now);
    next_extra_ = now + 1ms + random_.span(100ms);
  }
  next_ = next_extra_;
}

void Keeper::give_back(std::size_t surplus, Instant now) {
  const auto lanes = agent_.session.lane_stats(now);
  for (auto lane = lanes.rbegin(); lane != lanes.rend() && surplus > 0; ++lane) {
    if (lane->retiring) continue;
    agent_.session.retire_lane(lane->id);
    --surplus;
  }
}

void Keeper::handle_failure(Lanes::DialFailure failure, Instant now) {
  if (failure == Lanes::DialFailure::UnknownSession) {
    if (agent_.farewell.may_end) agent_.session.end(Errc::UnknownSession, "", now);
    return;
  }
  if (agent_.session.lane_count() > 0) {
    next_extra_ = now + 100ms + random_.span(1s);
    return;
  }
  if (!outage_) return;
  // The gateway may have heard this one: what it took for a lane must not be waited for.
  outage_->epoch = last_epoch_ + 1;
  outage_->next_dial = now + (failure == Lanes::DialFailure::Refused ? Duration{1ms} : random_.span(300ms));
}

void Keeper::dial(std::uint32_t epoch, Instant now) {
  last_epoch_ = std::max(last_epoch_, epoch);
  lanes_.dial(LaneId{next_number_++}, epoch, now);
}

}  // namespace culvert::sim
