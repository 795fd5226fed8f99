// One simulated connection between the two ends, from the dial to the moment both know that it is gone.
#pragma once

#include "tests/sim/world/pipe.hpp"
#include "tests/sim/world/wire_tap.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert::sim {

constexpr Instant kNever = Instant::max();

struct SimLane {
  LaneId id;
  std::uint32_t epoch;
  Pipe to[2];                            ///< Towards the agent, towards the gateway.
  Instant attach[2] = {kNever, kNever};  ///< When 101 reaches the agent, when HELLO reaches the gateway.
  Instant give_up = kNever;              ///< When the agent no longer waits for the 101.
  Instant notice[2] = {kNever, kNever};  ///< When that end learns that the connection is gone.
  Instant cut_at = kNever;               ///< Mischief that was planned.
  bool up[2] = {};                       ///< Attached and not lost, as that end knows.
  bool answer_is_lost = false;           ///< The 101 never arrives.
  bool refused = false;                  ///< The answer is no 101.
  bool cut = false;
  LaneLedger ledger[2] = {};  ///< By sender.

  bool pending() const { return give_up != kNever; }
  bool is_forgotten() const {
    const auto idle = [this](std::size_t side) {
      return !up[side] && attach[side] == kNever && notice[side] == kNever;
    };
    return idle(0) && idle(1) && !pending();
  }
};

}  // namespace culvert::sim
