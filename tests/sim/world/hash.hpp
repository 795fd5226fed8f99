// What tells the states of a world apart: everything that made them, mixed into one number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "tunnel-core/base/bytes.hpp"

namespace culvert::sim {

inline void mix(std::uint64_t& hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  hash ^= hash >> 29;
}

inline void mix(std::uint64_t& hash, ByteSpan bytes) {
  mix(hash, bytes.size());
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t n = std::min(bytes.size(), sizeof word);
    std::memcpy(&word, bytes.data(), n);
    mix(hash, word);
    bytes = bytes.subspan(n);
  }
}

}  // namespace culvert::sim
