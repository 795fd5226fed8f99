// Rates of long streams after a warm-up: what arrives at the sink, by the sink's own count, while a source
// never stops. The sink tells its count on the same stream every 50 ms, with the instant of CLOCK_MONOTONIC,
// so that neither buffers nor the way back enter the figure. Both ends have to be on one machine, in whatever
// network namespaces.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "bench/sockets.hpp"

namespace culvert::bench {

struct SteadyOptions {
  std::vector<Endpoint> to;  ///< Stream i goes to to[i % size].
  std::size_t streams = 1;
  std::chrono::milliseconds warm_up{2000};
  std::chrono::seconds measured{10};
  std::optional<Endpoint> ping;  ///< An echo beside the streams, from the end of the warm-up.
  std::size_t ping_bytes = 200;
};

/// Prints one JSON object; ends the program with exit code 1 when a stream breaks.
void run_steady(const SteadyOptions& options);

/// The sink's side of one stream, until its end.
void count_and_report(int fd);

}  // namespace culvert::bench
