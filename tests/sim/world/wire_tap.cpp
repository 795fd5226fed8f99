#include "tests/sim/world/wire_tap.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {

void WireTap::handle_frame(std::size_t sender, ByteSpan head, ByteSpan payload) {
  const auto header = decode_header(head.data());
  if (!header) throw Failure{"sent a frame that its own decoder refuses: " + header.error().to_string()};
  expect(head.size() + payload.size() == kFrameHeaderSize + header->length, "a frame is as long as it says");
  if (payload.empty()) payload = head.subspan(kFrameHeaderSize);
  switch (header->type) {
    case FrameType::Data:
      return handle_data(flow(header->stream, sender), *header);
    case FrameType::Ack:
      return handle_ack(flow(header->stream, 1 - sender), *header, payload);
    case FrameType::Return: {
      Flow& returning = flow(header->stream, sender);
      returning.returned = std::max(returning.returned, header->offset);
      return expect(returning.sent <= returning.granted - returning.returned, "no credit is returned twice");
    }
    default:
      return;
  }
}

void WireTap::handle_data(Flow& flow, const FrameHeader& header) {
  const std::uint64_t end = header.offset + header.length;
  flow.sent = std::max(flow.sent, end);
  expect(flow.sent <= flow.granted - flow.returned, "sent <= granted - returned");
  if ((header.flags & kFlagFin) != 0) {
    expect(!flow.final || *flow.final == end, "the final offset is set once");
    flow.final = end;
  }
  expect(!flow.final || end <= *flow.final, "nothing is sent beyond the final offset");
}

void WireTap::handle_ack(Flow& flow, const FrameHeader& header, ByteSpan payload) {
  flow.accepted = std::max(flow.accepted, header.offset);
  flow.granted = std::max(flow.granted, decode_granted(payload));
  expect(flow.accepted <= flow.consumed, "accepted is what the application has taken");
  expect(flow.accepted <= flow.sent, "accepted <= sent");
  if ((header.flags & kFlagFin) != 0) {
    expect(flow.final && *flow.final == header.offset, "ACK{FIN} comes with the final offset");
  }
}

}  // namespace culvert::sim
