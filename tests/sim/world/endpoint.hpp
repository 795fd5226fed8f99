// One process of the simulated pair: its memory, its session and the applications behind it.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "tests/sim/world/application.hpp"

namespace culvert::sim {

/// Memory of a pool. Thousands of worlds a second would spend their time in mmap() without it: what the last
/// worlds of a thread left is taken again.
class Region {
 public:
  explicit Region(std::size_t slabs);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  MutableByteSpan span() const { return bytes_; }

 private:
  MutableByteSpan bytes_;
};

/// How a session may end without a broken promise.
struct Farewell {
  bool may_drain = false;
  bool may_end = false;
};

class Endpoint {
 public:
  Endpoint(const SessionConfig& config, std::size_t slabs, ByteCount process_ceiling, Instant now);

  void open_stream(Habits habits, Random& random, Instant now);
  /// Takes the session's events, lets applications act. True: something happened. @throws Failure
  bool act(WireTap& tap, Random& random, Instant now);
  /// Takes the session's own events alone, as a driver does before it adds a lane. True: there were some.
  bool take_session_events();
  /// Hands bytes over in slabs, cut at random. @throws Failure
  void receive(LaneId lane, ByteSpan bytes, Random& random, bool cut_anywhere, Instant now);
  Instant next_act() const;

  bool all_over() const { return active_.empty(); }
  /// What must hold at every instant. @throws Failure
  void check_memory() const;
  /// What must hold when every stream is over. @throws Failure
  void check_empty() const;
  /// What must hold when LANE_CLOSE goes out: docs/protocol.md §3.3. @throws Failure
  void check_lane_close(LaneId lane, const LaneLedger (&ledgers)[2], Instant now) const;
  /// Every stream of both ends is forgotten.
  bool all_forgotten(std::uint32_t last_id) const;
  /// How far each stream came, for a person who looks for what stopped it.
  std::string describe(WireTap& tap) const;

  const std::size_t side;
  std::map<std::uint32_t, StreamRecord>* records = nullptr;  ///< Shared with the other end.
  std::uint64_t most_bytes = 0;                              ///< A stream's, for offered streams' habits.
  std::optional<Habits> offered_habits;                      ///< Instead of random ones.
  std::vector<LaneId> dead_lanes;                            ///< Told by LaneDead, for the world to close.
  std::vector<LaneId> closed_lanes;                          ///< Told by LaneClosed, likewise.
  bool has_ended = false;
  Farewell farewell;

 private:
  void handle_stream_event(const StreamEvent& event, Random& random, Instant now);
  void forget_over(WireTap& tap);

  std::map<std::uint32_t, std::unique_ptr<Application>> applications_;
  std::vector<Application*> active_;  ///< Those of applications_ that are not over, by id.
  Region region_;

 public:
  SlabPool slabs;
  ProcessMemory process;
  Session session;
};

}  // namespace culvert::sim
