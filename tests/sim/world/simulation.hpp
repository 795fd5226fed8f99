// Two sessions, the lanes between them, and all that can happen to those: a whole run from one seed.
#pragma once

#include <optional>
#include <string>

#include "tests/sim/world/endpoint.hpp"
#include "tests/sim/world/pipe.hpp"

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

  /// Runs until all streams are over and forgotten. @return the broken promise, if one was.
  std::optional<std::string> run();

  std::uint64_t delivered_bytes() const { return delivered_; }
  std::size_t streams() const { return records_.size(); }
  std::size_t cuts() const { return cuts_; }
  Duration virtual_time() const { return now_ - start_; }

 private:
  struct Lane {
    LaneId id;
    std::uint32_t epoch;
    Pipe to[2];         ///< Towards the agent, towards the gateway.
    bool up[2];         ///< Attached and not lost, as that end knows.
    Instant attach[2];  ///< When that end attaches; max: never (any more).
    Instant notice[2];  ///< When that end learns that the connection is gone.
    bool cut = false;
  };

  void step();
  void pump();
  bool pump_lane(Lane& lane);
  void close_dead_lanes();
  void close_lane(LaneId id, std::size_t side);
  Instant next_instant() const;
  void run_lane(Lane& lane);
  void attach(Lane& lane, std::size_t side);
  void deliver(Lane& lane, std::size_t side);
  void dial();
  void cut(Lane& lane, bool noticed);
  void do_mischief();
  void open_streams();
  void check_timers() const;
  bool is_done() const;
  Endpoint& end(std::size_t side) { return side == 0 ? agent_ : gateway_; }
  const Endpoint& end(std::size_t side) const { return side == 0 ? agent_ : gateway_; }

  Random random_;
  const Instant start_{1h};
  Instant now_ = start_;
  std::map<std::uint32_t, StreamRecord> records_;
  WireTap tap_;
  Endpoint agent_;
  Endpoint gateway_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::size_t wanted_lanes_ = 1;
  std::uint32_t next_lane_ = 1;
  std::uint32_t epoch_ = 0;
  Duration latency_{};
  double rate_ = 1e6;
  bool cut_anywhere_ = false;
  Instant calm_from_;
  Instant next_mischief_;
  Instant next_dial_;
  std::size_t streams_to_open_ = 0;
  Instant next_open_;
  std::uint64_t delivered_ = 0;
  std::size_t cuts_ = 0;
};

}  // namespace culvert::sim
