// The agent's side of having lanes, as tunnel-agent/lane_keeper does it but with less patience: dials that
// overlap, epochs that rise while older dials are still on their way, lanes added and given back.
#pragma once

#include <optional>

#include "tests/sim/world/lanes.hpp"

namespace culvert::sim {

class Keeper {
 public:
  Keeper(Endpoint& agent, Lanes& lanes, Random& random);

  /// Dials or gives back what is due.
  void act(Instant now);
  Instant next() const { return next_; }
  void want(std::size_t lanes) { wanted_ = lanes; }
  /// No dial begins before.
  void pause_until(Instant until) { paused_until_ = until; }
  /// The session has ended: no further dials.
  void stop();

 private:
  struct Outage {
    std::uint32_t epoch;
    Instant next_dial;
  };

  void recover(Instant now);
  void adjust(Instant now);
  void handle_failure(Lanes::DialFailure failure, Instant now);
  void dial(std::uint32_t epoch, Instant now);
  void give_back(std::size_t surplus, Instant now);

  Endpoint& agent_;
  Lanes& lanes_;
  Random& random_;
  const Duration beside_;  ///< Between the dials of one outage.
  std::size_t wanted_;
  std::optional<Outage> outage_;
  std::uint32_t next_number_ = 1;
  std::uint32_t last_epoch_ = 0;
  Instant next_{};
  Instant next_extra_{};
  Instant paused_until_{};
  bool stopped_ = false;
};

}  // namespace culvert::sim
