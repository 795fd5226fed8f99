// The other end of a session as somebody who may say anything: mostly frames that an honest peer could send
// in the same place, some that only look like it, some bytes that are no frames at all.
#pragma once

#include <map>
#include <optional>

#include "tests/sim/world/random.hpp"
#include "tunnel-core/base/error.hpp"
#include "tunnel-core/mux/session_config.hpp"
#include "tunnel-core/wire/frame.hpp"

namespace culvert::sim {

class HostilePeer {
 public:
  /// @param role    of the session that it talks to.
  /// @param malice  per cent of frames that no honest peer would send; 0: none, however odd they are.
  HostilePeer(Role role, unsigned malice, Random& random) : role_(role), malice_(malice), random_(random) {}

  void note_lane(LaneId lane) { lanes_.emplace(lane, HeardLane{}); }
  void forget_lane(LaneId lane) { lanes_.erase(lane); }
  /// The session said this. @throws Failure  when it says what it must not.
  void hear(LaneId lane, ByteSpan head, ByteSpan payload);
  /// What to say next on this lane.
  Bytes speak(LaneId lane);
  /// One frame that has to end the session, and the number it has to end with.
  std::pair<Bytes, Errc> offend(LaneId lane);
  bool has_closed(LaneId lane) const { return lanes_.at(lane).closed; }

 private:
  struct HeardLane {
    std::uint64_t state_frames = 0;  ///< That came on it.
    std::uint64_t receipted = 0;
    bool closed = false;  ///< We said LANE_CLOSE.
  };
  struct HeardStream {
    std::uint64_t highest = 0;               ///< Of what we sent.
    std::uint64_t granted = kMinimumWindow;  ///< To us.
    std::uint64_t returned = 0;
    std::optional<std::uint64_t> final;
    std::uint64_t received = 0;  ///< Behind the furthest byte that came.
    std::uint64_t accepted = 0;  ///< As we said.
    std::uint64_t told_granted = kMinimumWindow;
    std::uint64_t told_returned = 0;  ///< By the session.
    bool fin_received = false;
    bool reset = false;  ///< By us.
  };

  Bytes honest(LaneId lane);
  Bytes honest_lane_frame(HeardLane& lane);
  Bytes open();
  Bytes data(StreamId id, HeardStream& stream);
  Bytes ack(StreamId id, HeardStream& stream);
  Bytes reset(StreamId id, HeardStream& stream);
  Bytes give_back(StreamId id, HeardStream& stream);
  Bytes wild();
  Bytes garbage();
  Bytes frame(FrameHeader header, ByteSpan payload = {}) const;

  const Role role_;
  const unsigned malice_;
  Random& random_;
  std::map<LaneId, HeardLane> lanes_;
  std::map<std::uint32_t, HeardStream> streams_;
  std::uint32_t opened_ = 0;  ///< Streams that we opened.
};

}  // namespace culvert::sim
