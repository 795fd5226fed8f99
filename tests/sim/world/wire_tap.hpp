// Watches every frame that both ends send and holds the counters against docs/protocol.md §2:
// accepted <= received <= sent <= granted - returned, and accepted is what the application has really taken.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

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
};

class WireTap {
 public:
  Flow& flow(StreamId stream, std::size_t sender) { return flows_[stream.value * 2 + sender]; }

  /// @throws Failure
  void handle_frame(std::size_t sender, ByteSpan head, ByteSpan payload);

 private:
  void handle_data(Flow& flow, const FrameHeader& header);
  void handle_ack(Flow& flow, const FrameHeader& header, ByteSpan payload);

  std::map<std::uint64_t, Flow> flows_;
};

}  // namespace culvert::sim
