// Two sessions, the lanes between them, and all that can happen to those: a whole run from one seed.
// The oracles are the sentences of docs/protocol.md on why nothing is lost (application, wire_tap), why
// memory is bounded (endpoint) and why everything goes on (here: calm returns, and then every stream comes to
// its end).
#pragma once

#include <optional>
#include <string>

#include "tests/sim/world/endpoint.hpp"
#include "tests/sim/world/keeper.hpp"
#include "tests/sim/world/lanes.hpp"

namespace culvert::sim {

/// How much happens in one world.
struct Scale {
  std::uint64_t most_bytes =
      300'000;  ///< Of a stream and direction; in a fifth of the worlds ten times that.
  std::size_t most_streams = 40;
  std::uint64_t most_memory_mib = 8;  ///< Of a session.
};

class Simulation {
 public:
  explicit Simulation(Random random, Scale scale = {});

  /// Runs until all streams are over and forgotten, or both sessions have ended.
  /// @return the broken promise, if one was.
  std::optional<std::string> run();

  std::uint64_t carried_bytes() const { return lanes_.carried_bytes(); }
  std::size_t streams() const { return records_.size(); }
  std::size_t cuts() const { return lanes_.cuts(); }
  Duration virtual_time() const { return now_ - start_; }

 private:
  /// How the sessions end, if they do: most worlds end when their streams do.
  enum class Fate { Lasts, AgentEnds, GatewayEnds, AgentDrains, GatewayDrains, OutageTooLong };

  void meet_fate();
  void follow_ended_session();
  void step();
  void pump();
  Instant next_instant() const;
  void do_mischief();
  void retire(SimLane& lane);
  void open_streams();
  bool is_done() const;
  Endpoint& end(std::size_t side) { return side == 0 ? agent_ : gateway_; }

  Random random_;
  const Instant start_{1h};
  Instant now_ = start_;
  std::map<std::uint32_t, StreamRecord> records_;
  WireTap tap_;
  Fate fate_;
  Endpoint agent_;
  Endpoint gateway_;
  Lanes lanes_;
  Keeper keeper_;
  Instant timeout_[2] = {};  ///< poll_timeout() of both ends after all has been done.
  Instant calm_from_;
  Instant next_mischief_;
  bool both_retire_;
  std::size_t streams_to_open_ = 0;
  Instant next_open_;
  Instant fate_at_ = kNever;
  bool fate_is_met_ = false;
};

}  // namespace culvert::sim
