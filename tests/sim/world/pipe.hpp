// One direction of a simulated lane: bytes arrive in order after rate and latency, unless it stalls or is
// cut.
#pragma once

#include <algorithm>
#include <deque>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/time.hpp"

namespace culvert::sim {

class Pipe {
 public:
  Pipe(Duration latency, double bytes_a_second) : latency_(latency), rate_(bytes_a_second) {}

  /// There is room in the sender's socket.
  bool has_room(Instant now) const;
  /// From when there is room, as far as it is known now.
  Instant next_room(Instant now) const;
  /// The same for a socket that holds `buffer` bytes which the rate has not taken yet, and a line that is
  /// well.
  Instant room_from(std::size_t buffer) const;
  void write(Bytes bytes, Instant now);

  /// When the next bytes arrive; Instant::max() when none are under way.
  Instant next_arrival() const;
  /// All that has arrived by now.
  Bytes take(Instant now);

  void stall_until(Instant until) { stalled_until_ = std::max(stalled_until_, until); }
  /// From now on everything vanishes, and of what is under way all but the first `kept` bytes.
  void cut(std::size_t kept, Instant now);
  std::size_t under_way() const { return under_way_; }
  Duration latency() const { return latency_; }
  /// When all that is under way has arrived.
  Instant idle_from(Instant now) const { return std::max({now, busy_until_ + latency_, stalled_until_}); }

 private:
  struct Chunk {
    Instant arrives;
    Bytes bytes;
  };
  static constexpr std::size_t kSocketBuffer = 64 * 1024;

  Duration latency_;
  double rate_;
  std::deque<Chunk> chunks_;
  Instant busy_until_{};
  Instant stalled_until_{};
  std::size_t under_way_ = 0;  ///< Bytes in chunks_.
  bool cut_ = false;
  std::size_t vanished_ = 0;  ///< Since it was cut.
};

}  // namespace culvert::sim
