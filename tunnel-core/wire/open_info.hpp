// What OPEN says of a stream (docs/protocol.md §6.2, §11).
#pragma once

#include <cstdint>
#include <string>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

constexpr std::uint8_t kLeastWeight = 1;
constexpr std::uint8_t kDefaultWeight = 4;
constexpr std::uint8_t kMostWeight = 16;

struct OpenInfo {
  std::string target;  ///< 1–63 characters of [a-z0-9-].
  std::string source;  ///< `192.0.2.7:51234` or `[2001:db8::7]:51234`, at most 64 bytes; may be empty.
  std::uint8_t weight = kDefaultWeight;  ///< Share in the scheduler, 1–16.

  friend bool operator==(const OpenInfo&, const OpenInfo&) = default;
};

Bytes encode_open(const OpenInfo& info);

/// @error FrameMalformed.
Result<OpenInfo> decode_open(ByteSpan payload);

}  // namespace culvert
