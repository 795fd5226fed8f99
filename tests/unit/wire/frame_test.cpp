#include "tunnel-core/wire/frame.hpp"

#include <catch2/catch.hpp>

namespace culvert {
namespace {

Errc refusal(FrameHeader header) {
  std::byte bytes[kFrameHeaderSize];
  encode_header(header, bytes);
  const auto decoded = decode_header(bytes);
  return decoded ? Errc{} : decoded.error().code();
}

}  // namespace

// docs/protocol.md §5.1
TEST_CASE("Frame header: comes back as it was, and lies as the specification draws it", "[wire]") {
  const FrameHeader header{FrameType::Data, kFlagFin, 0x1234, StreamId{0x05060708}, 0x1112131415161718};
  std::byte bytes[kFrameHeaderSize];
  encode_header(header, bytes);
  const unsigned char drawn[] = {1,    1,    0x12, 0x34, 5,    6,    7,    8,
                                 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};
  for (std::size_t i = 0; i < sizeof drawn; ++i) CHECK(bytes[i] == std::byte{drawn[i]});
  const auto decoded = decode_header(bytes);
  REQUIRE(decoded);
  CHECK(decoded->type == header.type);
  CHECK(decoded->flags == header.flags);
  CHECK(decoded->length == header.length);
  CHECK(decoded->stream == header.stream);
  CHECK(decoded->offset == header.offset);
  CHECK(dump(*decoded) == "DATA stream=84281096 offset=1230066625199609624 length=4660 flags=1");
}

// docs/protocol.md §5.2
TEST_CASE("Frame header: an unknown type is FrameUnknown", "[wire]") {
  for (const int type : {0, 13, 14, 255}) {
    CHECK(refusal({static_cast<FrameType>(type), 0, 0, {}, 0}) == Errc::FrameUnknown);
  }
}

// docs/protocol.md §5.1 and §5.2
TEST_CASE("Frame header: undefined flags, stream fields and lengths are FrameMalformed", "[wire]") {
  const StreamId some{2};
  CHECK(refusal({FrameType::Data, 0, kMaxPayload, some, 0}) == Errc{});
  CHECK(refusal({FrameType::Data, 0, kMaxPayload + 1, some, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Data, 2, 0, some, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Data, 0, 0, {}, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Open, 0, 0, some, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Open, 0, kMaxOpenSize + 1, some, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Ack, 3, 8, some, 0}) == Errc{});
  CHECK(refusal({FrameType::Ack, 4, 8, some, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Ack, 0, 7, some, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Ack, 0, 9, some, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Reset, 0, kMaxTextSize + 1, some, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Ping, 0, 0, some, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Ping, 0, 1, {}, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Receipt, 1, 0, {}, 0}) == Errc::FrameMalformed);
  CHECK(refusal({FrameType::Drain, 0, 0, {}, 5}) == Errc{});
}

// docs/protocol.md §5.3
TEST_CASE("Frame types: lane frames are not counted by receipts, all others are", "[wire]") {
  for (const FrameType type : {FrameType::Data, FrameType::Open, FrameType::Opened, FrameType::Reset,
                               FrameType::Ack, FrameType::Return, FrameType::Drain}) {
    CHECK(is_state_frame(type));
  }
  for (const FrameType type :
       {FrameType::Receipt, FrameType::Ping, FrameType::Pong, FrameType::SessionEnd, FrameType::LaneClose}) {
    CHECK_FALSE(is_state_frame(type));
  }
}

}  // namespace culvert
