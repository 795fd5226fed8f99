#include "tests/sim/world/wire_tap.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {

Flow& WireTap::flow(StreamId stream, std::size_t sender) {
  const std::size_t index = std::size_t{stream.value} * 2 + sender;
  if (index >= flows_.size()) flows_.resize(index + 2);
  return flows_[index];
}

void WireTap::handle_frame(std::size_t sender, LaneLedger (&ledgers)[2], ByteSpan head, ByteSpan payload) {
  const auto header = decode_header(head.data());
  if (!header) throw Failure{"sent a frame that its own decoder refuses: " + header.error().to_string()};
  expect(head.size() + payload.size() == kFrameHeaderSize + header->length, "a frame is as long as it says");
  if (payload.empty()) payload = head.subspan(kFrameHeaderSize);
  note_on_lane(ledgers[sender], ledgers[1 - sender], *header);
  switch (header->type) {
    case FrameType::Data:
      return handle_data(flow(header->stream, sender), *header);
    case FrameType::Ack:
      return handle_ack(1 - sender, *header, payload);
    case FrameType::Return: {
      Flow& returning = flow(header->stream, sender);
      returning.returned = std::max(returning.returned, header->offset);
      return expect(returning.sent <= returning.granted - returning.returned, "no credit is returned twice");
    }
    case FrameType::Reset: {
      Flow& resetting = flow(header->stream, sender);
      expect(!resetting.reset || *resetting.reset == header->offset, "a stream is reset for one reason");
      resetting.reset = header->offset;
      return;
    }
    default:
      return;
  }
}

void WireTap::note_on_lane(LaneLedger& own, const LaneLedger& others, const FrameHeader& header) {
  expect(!own.ended, "nothing follows SESSION_END");
  if (is_state_frame(header.type)) {
    expect(!own.closed, "no state frame follows LANE_CLOSE");
    ++own.state_frames;
  }
  if (header.type == FrameType::Receipt) {
    expect(header.offset >= own.receipted, "receipts never fall");
    expect(header.offset <= others.state_frames, "no more is receipted than was sent");
    own.receipted = header.offset;
  }
  if (header.type == FrameType::LaneClose) {
    expect(!own.closed, "LANE_CLOSE comes once");
    own.closed = true;
  }
  if (header.type == FrameType::SessionEnd) own.ended = true;
}

void WireTap::handle_data(Flow& flow, const FrameHeader& header) {
  const std::uint64_t end = header.offset + header.length;
  expect(!flow.reset, "no DATA follows RESET");
  flow.sent = std::max(flow.sent, end);
  expect(flow.sent <= flow.granted - flow.returned, "sent <= granted - returned");
  if ((header.flags & kFlagFin) != 0) {
    expect(!flow.final || *flow.final == end, "the final offset is set once");
    flow.final = end;
  }
  expect(!flow.final || end <= *flow.final, "nothing is sent beyond the final offset");
}

void WireTap::handle_ack(std::size_t data_sender, const FrameHeader& header, ByteSpan payload) {
  Flow& acked = flow(header.stream, data_sender);
  acked.accepted = std::max(acked.accepted, header.offset);
  expect(acked.accepted <= acked.consumed, "accepted is what the application has taken");
  expect(acked.accepted <= acked.sent, "accepted <= sent");
  if ((header.flags & kFlagFin) != 0) {
    expect(acked.final && *acked.final == header.offset, "ACK{FIN} comes with the final offset");
  }
  const std::uint64_t granted = decode_granted(payload);
  if (granted <= acked.granted) return;
  acked.granted = granted;
  std::uint64_t sum = 0;
  for (std::size_t i = data_sender; i < flows_.size(); i += 2) sum += flows_[i].credit_above_minimum();
  expect(sum <= replay_memory_[data_sender], "credit stays within the replay memory that was announced");
}

}  // namespace culvert::sim
