// TCP and UDP ports as ranges, the way people write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tunnel-core/base/result.hpp"

namespace culvert::firewall {

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  bool is_single() const { return first == last; }
  unsigned size() const { return static_cast<unsigned>(last - first) + 1; }
  bool overlaps(const PortRange& other) const { return first <= other.last && other.first <= last; }
  /// "443", or "10000-10010" with `dash` between the two.
  std::string to_text(std::string_view dash = "-") const;

  friend bool operator==(const PortRange&, const PortRange&) = default;
};

using PortRanges = std::vector<PortRange>;

/// Most ranges in one set: an ESXi ruleset with more is a mistake.
constexpr std::size_t kMaxPortRanges = 256;

/// "443", "3527, 6106", "10000-10010"; in rising order, ranges that touch joined.
/// @error UsageInvalid: no number, not within 1 to 65535, an end before its beginning, ranges that overlap,
/// too many.
Result<PortRanges> parse_ports(std::string_view text);

/// In rising order; what overlaps or touches becomes one range.
PortRanges merge_ports(PortRanges ranges);

/// "3527, 6106, 10000-10010"; "none" when empty. parse_ports() reads back what is not "none".
std::string ports_text(const PortRanges& ranges, std::string_view separator = ", ",
                       std::string_view dash = "-");

/// Whether each range of `inner` lies in one of `outer`.
bool all_within(const PortRanges& inner, const PortRanges& outer);

/// How many ports they hold together.
unsigned count_ports(const PortRanges& ranges);

}  // namespace culvert::firewall
