// Round trips of a small message, alone or beside one bulk stream.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

#include "bench/sockets.hpp"

namespace culvert::bench {

struct PingpongOptions {
  Endpoint to;
  std::chrono::seconds measured{3};
  std::optional<Endpoint> beside;  ///< Where a bulk stream goes meanwhile.
  std::size_t beside_mbit = 0;     ///< What that stream is held to, Mbit/s; 0: nothing holds it.
  std::size_t bytes = 64;
};

/// Prints one JSON object; ends the program with exit code 1 when a stream breaks.
void run_pingpong(const PingpongOptions& options);

}  // namespace culvert::bench
