// Which world a seed stands for: every failure of a simulation replays from that number alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace culvert::sim {

struct WorldReport {
  std::optional<std::string> broken;  ///< The promise that was not kept.
  std::uint64_t streams = 0;
  std::uint64_t carried_bytes = 0;  ///< Over lanes, in both directions.
  std::uint64_t cuts = 0;
};

/// Of ten seeds one is a world of full scale, one a session against a hostile peer, and eight are small
/// worlds: many of them find more than a few large ones.
WorldReport run_seed(std::uint64_t seed);

}  // namespace culvert::sim
