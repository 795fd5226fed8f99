// Every hard limit, with its reason. Numbers on the wire are docs/protocol.md §13.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tunnel-core/base/slab.hpp"
#include "tunnel-core/base/time.hpp"

namespace culvert {

constexpr std::size_t kFrameHeaderSize = 16;
constexpr std::size_t kMaxFrameSize = 16384;  ///< The largest TLS record: one frame is one record.
constexpr std::size_t kMaxPayload = kMaxFrameSize - kFrameHeaderSize;
static_assert(kMaxFrameSize == kSlabSize, "an opened record fills one slab");

constexpr std::size_t kMaxOpenSize = 1024;      ///< TLVs of OPEN and OPENED.
constexpr std::size_t kMaxTextSize = 512;       ///< Text of RESET and SESSION_END.
constexpr std::uint64_t kMinimumWindow = 8192;  ///< Credit that every stream has per direction, untold.
constexpr std::uint64_t kMaxOffset = std::uint64_t{1} << 62;
constexpr std::uint32_t kMaxIdsAhead = 65536;  ///< OPENs may overtake each other over lanes, but not by more.
constexpr std::uint32_t kLastId = 0xfffffff0;  ///< An opener that comes here needs a new session.
constexpr std::size_t kMaxLanes = 32;

/// Payloads below this are packed behind each other in one slab, above it they start a slab of their own.
constexpr std::size_t kPackBelow = 4096;
/// A received payload of at least this keeps its slab; the eighth that may be wasted is in the reservation.
constexpr std::size_t kKeepSlabFrom = kSlabSize - kSlabSize / 8;

constexpr Duration kPingAfter = 500ms;
constexpr Duration kLaneDeadAfter = 2500ms;
constexpr Duration kReceiptDelay = 2ms;
constexpr Duration kFarLine =
    10ms;  ///< From this round trip on, answers beside bulk have a lane of their own.
constexpr Duration kAckDelay = 10ms;
constexpr Duration kIdleReturnAfter = 1s;
constexpr Duration kStarvedCheck = 10ms;  ///< How often streams that found no free slab try again.
constexpr Duration kResetGrace = 2s;

}  // namespace culvert
