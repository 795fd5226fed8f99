// Where a simulated world takes its decisions from: a seed, or the bytes of a fuzzer as long as they last.
#pragma once

#include <cstdint>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/time.hpp"

namespace culvert::sim {

/// Choices that somebody wrote down; the first of each once they are used up.
class ByteScript {
 public:
  explicit ByteScript(ByteSpan bytes) : bytes_(bytes) {}

  bool exhausted() const { return bytes_.empty(); }
  /// 0 to n - 1; n is at least 1.
  std::size_t below(std::size_t n) {
    std::size_t v = 0;
    for (std::size_t range = n - 1; range > 0 && !bytes_.empty(); range >>= 8) {
      v = v << 8 | std::to_integer<std::size_t>(bytes_.front());
      bytes_ = bytes_.subspan(1);
    }
    return v % n;
  }

 private:
  ByteSpan bytes_;
};

class Random {
 public:
  explicit Random(std::uint64_t seed, ByteSpan script = {}) : state_(seed), script_(script) {}

  /// 0 to n - 1; n is at least 1.
  std::uint64_t below(std::uint64_t n) { return n <= 1 ? 0 : next(n) % n; }
  std::uint64_t between(std::uint64_t least, std::uint64_t most) { return least + below(most - least + 1); }
  bool chance(unsigned percent) { return below(100) < percent; }
  /// 1 to most, small numbers as likely as large ones.
  std::uint64_t spread(std::uint64_t most) {
    std::uint64_t bits = 0;
    while ((most >> bits) > 1) ++bits;
    const std::uint64_t n =
        (std::uint64_t{1} << between(0, bits)) + below(std::uint64_t{1} << between(0, bits));
    return n > most ? most : n;
  }
  Duration span(Duration most) {
    return Duration{static_cast<Duration::rep>(below(static_cast<std::uint64_t>(most.count()) + 1))};
  }

 private:
  std::uint64_t next(std::uint64_t n) {
    if (script_.empty()) return mix();
    std::uint64_t v = 0;
    for (std::uint64_t range = n; range > 1 && !script_.empty(); range >>= 8) {
      v = v << 8 | std::to_integer<std::uint64_t>(script_.front());
      script_ = script_.subspan(1);
    }
    return v;
  }
  std::uint64_t mix() {  // SplitMix64: every seed is a good one.
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  std::uint64_t state_;
  ByteSpan script_;
};

}  // namespace culvert::sim
