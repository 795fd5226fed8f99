// Strong types: swapped arguments do not compile, literals carry units.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace culvert {

template <class Tag, class Value>
struct Strong {
  Value value{};
  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;
};

using StreamId =
    Strong<struct StreamIdTag, std::uint32_t>;  ///< Low bit: 0 opened by the agent, 1 by the gateway.
using LaneId = Strong<struct LaneIdTag, std::uint32_t>;        ///< Unique within one epoch of a session.
using SessionId = Strong<struct SessionIdTag, std::uint64_t>;  ///< Random; written as 16 hexadecimal digits.
using ByteCount = Strong<struct ByteCountTag, std::uint64_t>;
using BitRate = Strong<struct BitRateTag, std::uint64_t>;  ///< Bits per second; 0: unlimited.

constexpr ByteCount operator""_B(unsigned long long n) {
  return {n};
}
constexpr ByteCount operator""_KiB(unsigned long long n) {
  return {n << 10};
}
constexpr ByteCount operator""_MiB(unsigned long long n) {
  return {n << 20};
}
constexpr ByteCount operator""_GiB(unsigned long long n) {
  return {n << 30};
}

}  // namespace culvert

template <class Tag, class Value>
struct std::hash<culvert::Strong<Tag, Value>> {
  std::size_t operator()(const culvert::Strong<Tag, Value>& strong) const noexcept {
    return std::hash<Value>{}(strong.value);
  }
};
