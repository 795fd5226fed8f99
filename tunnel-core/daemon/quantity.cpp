#include "tunnel-core/daemon/quantity.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <span>

namespace culvert {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array kByteUnits{Unit{"B", 1}, Unit{"KiB", 1ull << 10}, Unit{"MiB", 1ull << 20},
                                Unit{"GiB", 1ull << 30}, Unit{"TiB", 1ull << 40}};
constexpr std::array kTimeUnits{Unit{"ms", 1'000'000}, Unit{"s", 1'000'000'000}, Unit{"min", 60'000'000'000},
                                Unit{"h", 3'600'000'000'000}, Unit{"d", 86'400'000'000'000}};
constexpr std::array kRateUnits{Unit{"bit/s", 1}, Unit{"kbit/s", 1'000}, Unit{"Mbit/s", 1'000'000},
                                Unit{"Gbit/s", 1'000'000'000}};
constexpr std::string_view kUnlimited = "unlimited";

std::optional<std::uint64_t> parse(std::string_view text, std::span<const Unit> units, std::uint64_t max) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  while (name.starts_with(' ')) name.remove_prefix(1);
  for (const Unit& unit : units) {
    if (name == unit.name && number <= max / unit.factor) return number * unit.factor;
  }
  return std::nullopt;
}

std::string format(std::uint64_t value, std::span<const Unit> units) {
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) best = &unit;
  }
  return std::to_string(value / best->factor) + " " + std::string{best->name};
}

}  // namespace

std::optional<ByteCount> parse_bytes(std::string_view text) {
  const auto value = parse(text, kByteUnits, std::numeric_limits<std::uint64_t>::max());
  if (!value) return std::nullopt;
  return ByteCount{*value};
}

std::optional<Duration> parse_duration(std::string_view text) {
  const auto value = parse(text, kTimeUnits, std::numeric_limits<std::int64_t>::max());
  if (!value) return std::nullopt;
  return Duration{static_cast<std::int64_t>(*value)};
}

std::optional<BitRate> parse_rate(std::string_view text) {
  if (text == kUnlimited) return BitRate{0};
  const auto value = parse(text, kRateUnits, std::numeric_limits<std::uint64_t>::max());
  if (!value || *value == 0) return std::nullopt;
  return BitRate{*value};
}

std::string format_bytes(ByteCount bytes) {
  return format(bytes.value, kByteUnits);
}

std::string format_duration(Duration duration) {
  return format(duration.count() < 0 ? 0 : static_cast<std::uint64_t>(duration.count()), kTimeUnits);
}

std::string format_rate(BitRate rate) {
  return rate.value == 0 ? std::string{kUnlimited} : format(rate.value, kRateUnits);
}

}  // namespace culvert
