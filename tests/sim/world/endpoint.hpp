// One process of the simulated pair: its memory, its session and the applications behind it.
#pragma once

#include <map>
#include <memory>

#include "tests/sim/world/application.hpp"

namespace culvert::sim {

struct AlignedDelete {
  void operator()(std::byte* bytes) const { ::operator delete[](bytes, std::align_val_t{kSlabSize}); }
};

class Endpoint {
 public:
  Endpoint(const SessionConfig& config, std::size_t slabs, ByteCount process_ceiling, Instant now);

  void open_stream(Habits habits, Instant now);
  /// Takes the session's events, lets applications act. True: something happened. @throws Failure
  bool act(WireTap& tap, Random& random, Instant now);
  /// Hands bytes over in slabs, cut at random. @throws Failure
  void receive(LaneId lane, ByteSpan bytes, Random& random, bool cut_anywhere, Instant now);
  Instant next_act() const;

  bool all_over() const;
  /// What must hold at every instant. @throws Failure
  void check_memory() const;
  /// What must hold when every stream is over. @throws Failure
  void check_empty() const;
  /// Every stream of both ends is forgotten.
  bool all_forgotten(std::uint32_t last_id) const;

  const std::size_t side;
  std::map<std::uint32_t, StreamRecord>* records = nullptr;  ///< Shared with the other end.
  std::uint64_t most_bytes = 0;                              ///< A stream's, for offered streams' habits.
  std::map<std::uint32_t, std::unique_ptr<Application>> applications;
  std::vector<LaneId> dead_lanes;    ///< Told by LaneDead, for the world to close.
  std::vector<LaneId> closed_lanes;  ///< Told by LaneClosed, likewise.
  bool has_ended = false;
  bool may_end = false;
  std::size_t refused = 0;  ///< open_stream() that gave an error.

 private:
  void handle_stream_event(const StreamEvent& event, Random& random, Instant now);

  std::size_t region_bytes_;
  std::unique_ptr<std::byte[], AlignedDelete> region_;

 public:
  SlabPool slabs;
  ProcessMemory process;
  Session session;
};

}  // namespace culvert::sim
