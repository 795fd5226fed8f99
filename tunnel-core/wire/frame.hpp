// The frame header and the rules that hold for each type by itself. Layout: docs/protocol.md §5.
#pragma once

#include <cstdint>
#include <string>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/limits.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert {

enum class FrameType : std::uint8_t {  // docs/protocol.md §5.2
  Data = 1,
  Open = 2,
  Opened = 3,
  Reset = 4,
  Ack = 5,
  Return = 6,
  Receipt = 7,
  Ping = 8,
  Pong = 9,
  Drain = 10,
  SessionEnd = 11,
  LaneClose = 12,
};

constexpr std::uint8_t kFlagFin = 1;     ///< DATA: the last bytes. ACK: all delivered, and the end.
constexpr std::uint8_t kFlagReturn = 2;  ///< ACK: please return unused credit.

struct FrameHeader {
  FrameType type{};
  std::uint8_t flags = 0;
  std::uint16_t length = 0;  ///< Bytes behind the header.
  StreamId stream{};
  std::uint64_t offset = 0;  ///< Meaning by type.
};

/// A whole frame; the payload is a view into whatever the bytes came from.
struct Frame {
  FrameHeader header;
  ByteSpan payload;
};

/// Lane frames belong to their lane and are never sent again (docs/protocol.md §5.3).
bool is_state_frame(FrameType type);

void encode_header(const FrameHeader& header, std::byte* out16);

/// Reads a header and checks what can be checked without knowing the session: type, flags, stream, length.
/// @error FrameMalformed, FrameUnknown.
Result<FrameHeader> decode_header(const std::byte* in16);

/// The granted counter in an ACK's payload of 8 bytes.
std::uint64_t decode_granted(ByteSpan payload);

/// `DATA stream=4 offset=16368 length=100 flags=1`, for logs and failing tests.
std::string dump(const FrameHeader& header);

}  // namespace culvert
