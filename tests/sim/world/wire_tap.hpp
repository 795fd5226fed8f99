// Watches every frame that both ends send and holds it against docs/protocol.md:
// §2   accepted <= received <= sent <= granted - returned, and accepted is what the application has taken;
// §3.3 behind LANE_CLOSE comes no state frame, behind SESSION_END nothing;
// §5.3 what is told again is what was told before;
// §7   receipts never fall and never pass what was sent;
// §8.3 credit above the minimum stays within the replay memory that the sender announced.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tunnel-core/wire/frame.hpp"

namespace culvert::sim {

/// One direction of one stream, named by the end that sends its data: 0 agent, 1 gateway.
struct Flow {
  std::uint64_t sent = 0;
  std::uint64_t granted = kMinimumWindow;
  std::uint64_t returned = 0;
  std::uint64_t accepted = 0;  ///< As told by ACK.
  std::uint64_t consumed = 0;  ///< As the receiving application knows it.
  std::optional<std::uint64_t> final;
  std::optional<std::uint64_t> reset;  ///< The reason that the sender has told.
  bool over = false;                   ///< The receiving application is gone, and its credit with it.

  std::uint64_t credit_above_minimum() const {
    const std::uint64_t unused = granted - returned - consumed;
    const bool delivered = final && consumed == *final;
    return over || delivered || unused <= kMinimumWindow ? 0 : unused - kMinimumWindow;
  }
};

/// What one end has said on one lane.
struct LaneLedger {
  std::uint64_t state_frames = 0;
  std::uint64_t receipted = 0;  ///< Of the other end's state frames.
  bool closed = false;
  bool ended = false;
};

class WireTap {
 public:
  /// Valid until the next call.
  Flow& flow(StreamId stream, std::size_t sender);
  /// `side` can keep this much for replay; it says so with every HELLO.
  void set_replay_memory(std::size_t side, std::uint64_t bytes) { replay_memory_[side] = bytes; }
  std::uint64_t replay_memory(std::size_t side) const { return replay_memory_[side]; }

  /// @param ledgers  of the lane, by sender. @throws Failure
  void handle_frame(std::size_t sender, LaneLedger (&ledgers)[2], ByteSpan head, ByteSpan payload);

 private:
  void note_on_lane(LaneLedger& own, const LaneLedger& others, const FrameHeader& header);
  void handle_data(Flow& flow, const FrameHeader& header);
  void handle_ack(std::size_t data_sender, const FrameHeader& header, ByteSpan payload);

  std::vector<Flow> flows_;  ///< By stream and sender.
  std::uint64_t replay_memory_[2] = {~std::uint64_t{}, ~std::uint64_t{}};
};

}  // namespace culvert::sim
