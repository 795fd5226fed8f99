#include "firewall-vib/port_range.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace culvert::firewall {

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool parse_port(std::string_view text, std::uint16_t& out) {
  text = trimmed(text);
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failure == std::errc{} && end == text.data() + text.size() && out != 0;
}

/// Errors show what was written, but not a page of it.
std::string shown(std::string_view text) {
  return std::string{text.substr(0, 60)} + (text.size() > 60 ? "..." : "");
}

Result<PortRange> parse_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  PortRange range;
  bool good = parse_port(text.substr(0, dash), range.first);
  range.last = range.first;
  if (dash != std::string_view::npos) good = good && parse_port(text.substr(dash + 1), range.last);
  if (!good) {
    return Error{Errc::UsageInvalid,
                 fmt::format("'{}' is no port and no range; ports are 1 to 65535, write 443 or 10000-10010",
                             shown(text))};
  }
  if (range.first > range.last) {
    return Error{Errc::UsageInvalid, fmt::format("'{}' ends before it begins; write {}-{}", shown(text),
                                                 range.last, range.first)};
  }
  return range;
}

}  // namespace

std::string PortRange::to_text(std::string_view dash) const {
  return is_single() ? fmt::format("{}", first) : fmt::format("{}{}{}", first, dash, last);
}

Result<PortRanges> parse_ports(std::string_view text) {
  PortRanges ranges;
  for (;;) {
    const std::size_t comma = text.find(',');
    auto range = parse_range(trimmed(text.substr(0, comma)));
    if (!range) return std::move(range).error();
    for (const PortRange& other : ranges) {
      if (!other.overlaps(*range)) continue;
      return Error{Errc::UsageInvalid,
                   fmt::format("{} and {} overlap; name each port once", other.to_text(), range->to_text())};
    }
    if (ranges.size() == kMaxPortRanges) {
      return Error{Errc::UsageInvalid,
                   fmt::format("more than {} ranges of ports; join some", kMaxPortRanges)};
    }
    ranges.push_back(*range);
    if (comma == std::string_view::npos) return merge_ports(std::move(ranges));
    text.remove_prefix(comma + 1);
  }
}

PortRanges merge_ports(PortRanges ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const PortRange& a, const PortRange& b) { return a.first < b.first; });
  PortRanges merged;
  for (const PortRange& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::string ports_text(const PortRanges& ranges, std::string_view separator, std::string_view dash) {
  if (ranges.empty()) return "none";
  std::string text;
  for (const PortRange& range : ranges) {
    if (!text.empty()) text += separator;
    text += range.to_text(dash);
  }
  return text;
}

bool all_within(const PortRanges& inner, const PortRanges& outer) {
  return std::all_of(inner.begin(), inner.end(), [&](const PortRange& range) {
    return std::any_of(outer.begin(), outer.end(), [&](const PortRange& wide) {
      return wide.first <= range.first && range.last <= wide.last;
    });
  });
}

unsigned count_ports(const PortRanges& ranges) {
  unsigned count = 0;
  for (const PortRange& range : ranges) count += range.size();
  return count;
}

}  // namespace culvert::firewall
