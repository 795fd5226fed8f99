// All connections between the two ends: carries what the sessions write, from the dial (HELLO, 101, and what
// can be lost of them) to the cut or the close. What happens to them is decided elsewhere.
#pragma once

#include <memory>
#include <vector>

#include "tests/sim/world/endpoint.hpp"
#include "tests/sim/world/sim_lane.hpp"

namespace culvert::sim {

/// What connections are like in one world.
struct LineHabits {
  Duration latency{};          ///< Of a lane that is like the others.
  double rate = 1e6;           ///< Bytes a second, likewise.
  std::uint64_t spread = 0;    ///< Latency and rate of a lane differ from these by up to this factor.
  unsigned answers_lost = 0;   ///< Per cent of dials whose 101 never arrives.
  unsigned requests_late = 0;  ///< Per cent of dials whose request takes up to 3 s more.
  bool cut_anywhere = false;   ///< Bytes arrive cut anywhere, not frame by frame.

  static LineHabits random(Random& random);
};

class Lanes {
 public:
  enum class DialFailure { NoAnswer, Refused, UnknownSession };

  Lanes(Endpoint& agent, Endpoint& gateway, WireTap& tap, Random& random)
      : ends_{&agent, &gateway}, tap_(tap), random_(random), habits_(LineHabits::random(random)) {}

  void dial(LaneId id, std::uint32_t epoch, Instant now);
  std::size_t pending_dials() const;
  /// Dials that failed since the last call.
  std::vector<DialFailure> take_failures() { return std::exchange(failures_, {}); }

  /// Lets sessions write as long as sockets take it. True: something was written. @throws Failure
  bool pump(Instant now);
  /// Does what is due: attaches, delivers, tells ends of lost connections. @throws Failure
  void run(Instant now);
  Instant next(Instant now) const;

  /// Both directions lose what is under way, but for a part that may end inside a frame.
  void cut(SimLane& lane, bool noticed, Instant now);
  void cut_all(Instant now);
  void forget_gone();
  /// The end has no session any more: its connections are closed.
  void close_all(std::size_t side, Instant now);
  std::vector<std::unique_ptr<SimLane>>& all() { return lanes_; }

  /// Sessions and connections agree on which lanes there are. @throws Failure
  void check() const;
  std::uint64_t carried_bytes() const { return carried_bytes_; }
  std::size_t cuts() const { return cuts_; }

 private:
  bool pump_end(std::size_t side, Instant now);
  bool write(SimLane& lane, std::size_t side, Instant now);
  bool obey_sessions(Instant now);
  void close(LaneId id, std::size_t side, Instant now);
  void run_lane(SimLane& lane, Instant now);
  void attach(SimLane& lane, std::size_t side, Instant now);
  void fail_dial(SimLane& lane, DialFailure failure);
  SimLane* find_up(LaneId id, std::size_t side) const;

  Endpoint* ends_[2];
  WireTap& tap_;
  Random& random_;
  const LineHabits habits_;
  std::vector<std::unique_ptr<SimLane>> lanes_;
  std::vector<DialFailure> failures_;
  std::uint64_t carried_bytes_ = 0;
  std::size_t cuts_ = 0;
};

}  // namespace culvert::sim
