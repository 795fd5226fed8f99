// Sizes, times and rates as people write them: "64 MiB", "30 s", "100 Mbit/s".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert {

/// A whole number and one of B, KiB, MiB, GiB, TiB, with or without blanks between. Empty when it is none or
/// overflows.
std::optional<ByteCount> parse_bytes(std::string_view text);
/// A whole number and one of ms, s, min, h, d. Empty when it is none or overflows.
std::optional<Duration> parse_duration(std::string_view text);
/// A whole number and one of bit/s, kbit/s, Mbit/s, Gbit/s (steps of 1000), or `unlimited`, which is 0. Empty
/// when it is none, overflows, or is a 0 with a unit.
std::optional<BitRate> parse_rate(std::string_view text);

/// In the largest unit that divides it: 67108864 -> "64 MiB". What the parsers read back.
std::string format_bytes(ByteCount bytes);
/// Down to milliseconds: 90 s -> "90 s", 10 min -> "10 min".
std::string format_duration(Duration duration);
/// `100 Mbit/s`; `unlimited` for 0.
std::string format_rate(BitRate rate);

}  // namespace culvert
