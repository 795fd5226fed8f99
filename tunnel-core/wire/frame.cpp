#include "tunnel-core/wire/frame.hpp"

#include "tunnel-core/base/byte_cursor.hpp"

namespace culvert {
namespace {

struct TypeRule {
  const char* name;
  std::uint8_t flags;  ///< Those that are defined.
  bool has_stream;
  std::uint16_t min_length;
  std::uint16_t max_length;
  bool is_state;
};

const TypeRule* rule_of(FrameType type) {
  static constexpr TypeRule kRules[] = {
      {"DATA", kFlagFin, true, 0, kMaxPayload, true},
      {"OPEN", 0, true, 1, kMaxOpenSize, true},
      {"OPENED", 0, true, 0, kMaxOpenSize, true},
      {"RESET", 0, true, 0, kMaxTextSize, true},
      {"ACK", kFlagFin | kFlagReturn, true, 8, 8, true},
      {"RETURN", 0, true, 0, 0, true},
      {"RECEIPT", 0, false, 0, 0, false},
      {"PING", 0, false, 0, 0, false},
      {"PONG", 0, false, 0, 0, false},
      {"DRAIN", 0, false, 0, 0, true},
      {"SESSION_END", 0, false, 0, kMaxTextSize, false},
      {"LANE_CLOSE", 0, false, 0, 0, false},
  };
  const auto number = static_cast<std::size_t>(type);
  return number >= 1 && number <= std::size(kRules) ? &kRules[number - 1] : nullptr;
}

}  // namespace

bool is_state_frame(FrameType type) {
  const TypeRule* const rule = rule_of(type);
  return rule != nullptr && rule->is_state;
}

void encode_header(const FrameHeader& header, std::byte* out16) {
  Writer out{{out16, kFrameHeaderSize}};
  out.u8(static_cast<std::uint8_t>(header.type));
  out.u8(header.flags);
  out.u16(header.length);
  out.u32(header.stream.value);
  out.u64(header.offset);
}

Result<FrameHeader> decode_header(const std::byte* in16) {
  Reader in{{in16, kFrameHeaderSize}};
  FrameHeader header;
  header.type = static_cast<FrameType>(in.u8());
  header.flags = in.u8();
  header.length = in.u16();
  header.stream = StreamId{in.u32()};
  header.offset = in.u64();

  const TypeRule* const rule = rule_of(header.type);
  if (rule == nullptr) {
    return Error{Errc::FrameUnknown,
                 "frame type " + std::to_string(static_cast<int>(header.type)) + " was not negotiated"};
  }
  if ((header.flags & ~rule->flags) != 0)
    return Error{Errc::FrameMalformed, "undefined flag in " + dump(header)};
  if ((header.stream.value != 0) != rule->has_stream) {
    return Error{Errc::FrameMalformed, "wrong stream field in " + dump(header)};
  }
  if (header.length < rule->min_length || header.length > rule->max_length) {
    return Error{Errc::FrameMalformed, "length does not fit the type in " + dump(header)};
  }
  return header;
}

std::uint64_t decode_granted(ByteSpan payload) {
  return Reader{payload}.u64();
}

std::string dump(const FrameHeader& header) {
  const TypeRule* const rule = rule_of(header.type);
  std::string text = rule != nullptr ? rule->name : "type " + std::to_string(static_cast<int>(header.type));
  text += " stream=" + std::to_string(header.stream.value) + " offset=" + std::to_string(header.offset) +
          " length=" + std::to_string(header.length);
  if (header.flags != 0) text += " flags=" + std::to_string(header.flags);
  return text;
}

}  // namespace culvert
