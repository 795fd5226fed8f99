// One stream of bulk, from the agent to the gateway, over lanes that nothing happens to: how much of it
// arrives depends on nothing but what the sessions choose. The same lines give the same figures on every
// machine.
#pragma once

#include <map>
#include <vector>

#include "tests/sim/world/endpoint.hpp"
#include "tests/sim/world/pipe.hpp"

namespace culvert::sim {

/// The same in both directions; it loses nothing.
struct BulkLine {
  double mbit_a_second;
  Duration round_trip;
};

class BulkWorld {
 public:
  /// A lane for each, up from the start; the sessions have their default memory.
  explicit BulkWorld(const std::vector<BulkLine>& lines);

  /// @throws Failure
  void run(Duration time);
  /// Bytes that the gateway's application has taken, checked.
  std::uint64_t arrived() const;

 private:
  struct BulkLane {
    LaneId id;
    Pipe to[2];  ///< Towards the agent, towards the gateway.
    LaneLedger ledger[2] = {};
  };

  void pump();
  bool write(std::size_t side);
  bool write_lane(BulkLane& lane, std::size_t side);
  void deliver();
  Instant room_from(const BulkLane& lane, std::size_t side) const;
  Instant next() const;
  Endpoint& end(std::size_t side) { return side == 0 ? agent_ : gateway_; }
  const Endpoint& end(std::size_t side) const { return side == 0 ? agent_ : gateway_; }

  Random random_{1};  ///< Nothing is left to it but the stream's name.
  Instant now_{1h};
  std::map<std::uint32_t, StreamRecord> records_;
  mutable WireTap tap_;  ///< Its flow() makes room for streams that it has not seen.
  Endpoint agent_;
  Endpoint gateway_;
  std::vector<BulkLane> lanes_;  ///< Lane n is the one at n - 1.
};

}  // namespace culvert::sim
