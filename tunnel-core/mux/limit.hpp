// What holds back the bytes that sources give.
#pragma once

#include <cstdint>
#include <string_view>

namespace culvert {

/// Of a session, in the direction to its peer.
enum class Limit : std::uint8_t {
  Source,   ///< Nothing: all that was read has gone out.
  Line,     ///< Data waits for the lanes.
  Buffers,  ///< So it does, and the lanes for room in the kernels' socket buffers of either end.
  Window,   ///< The far end has taken what it may: its target is slow, or its window still grows.
  Memory,   ///< This end has no memory for more.
};

/// As `status` says it.
constexpr std::string_view limit_name(Limit limit) {
  constexpr std::string_view kNames[] = {"source", "line", "buffers", "window", "memory"};
  return kNames[static_cast<std::size_t>(limit)];
}

}  // namespace culvert
