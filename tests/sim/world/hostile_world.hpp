// One session against a HostilePeer: whatever is said, the session stays within its memory, and when a rule
// was broken it ends with the number of that rule and gives everything back.
#pragma once

#include <optional>
#include <string>

#include "tests/sim/world/endpoint.hpp"
#include "tests/sim/world/hostile_peer.hpp"

namespace culvert::sim {

class HostileWorld {
 public:
  explicit HostileWorld(Random random);

  /// @return the broken promise, if one was.
  std::optional<std::string> run();
  std::uint64_t streams() const { return session_.stats().opened_total; }

 private:
  void step();
  void be_spoken_to();
  void use_streams();
  void change_lanes();
  void pass_time();
  void deliver(LaneId lane, ByteSpan bytes);
  void take_events();
  void read(StreamId id);
  void write(StreamId id);
  void listen();
  void check() const;
  void offend();
  void check_ended();
  std::optional<LaneId> some_lane();
  StreamId some_stream();

  Random random_;
  const Role role_;
  const unsigned malice_;
  Instant now_{1h};
  Region region_{256};
  SlabPool slabs_{region_.span()};
  ProcessMemory process_{4_MiB};
  Session session_;
  HostilePeer peer_;
  std::vector<LaneId> lanes_;
  std::uint32_t next_lane_ = 1;
  std::uint32_t epoch_ = 1;
  std::vector<StreamId> streams_;  ///< That were opened, by either end.
  std::optional<Errc> ended_with_;
  std::string end_text_;
  bool was_told_end_ = false;  ///< The peer said SESSION_END.
};

}  // namespace culvert::sim
