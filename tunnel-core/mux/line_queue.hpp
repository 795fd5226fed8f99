// How much of one lane's bulk may be in flight while somebody else waits for answers. ADR 0015.
#pragma once

#include <cstdint>
#include <limits>

#include "tunnel-core/base/time.hpp"

namespace culvert {

/// Congestion control fills the queue of the line's slowest hop, and what is small waits there behind what is
/// not. This keeps the queue short without leaving the line idle: bulk in flight is held at what the line
/// itself holds and a few milliseconds more. A queue that does not go although this end holds back is
/// somebody else's, and is left alone.
class LineQueue {
 public:
  /// One window of measuring is over; it lasts about a round trip.
  /// @param shortest  round trip of the window, without what waits at this end; @param empty  the shortest
  /// ever
  /// @param rate      bytes a second that the lane delivers; 0: unknown
  void observe(Duration shortest, Duration empty, double rate, Instant now);
  /// Bytes in flight from which on bulk waits.
  std::uint64_t limit() const { return limit_; }
  /// Bulk went out, headers counted. Where it is held, the next goes a little faster than the line carries:
  /// receipts that were late and come all at once would else put all they make room for into its queue.
  void note_bulk(std::size_t bytes, Instant now);
  /// When the next bulk may go, if it is held.
  Instant next_bulk() const { return limit_ == kNoLimit ? Instant{} : next_bulk_; }
  /// Bulk waited because of limit().
  void note_held() { held_ = true; }
  /// Bulk was held back lately: the line is full.
  bool holds() const { return holds_ > 0; }

 private:
  static constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();
  static constexpr Duration kFirstPause = 10s;

  void follow(Duration queue, Duration wanted, bool held, std::uint64_t fitting);
  void leave_alone(Instant now);

  std::uint64_t limit_ = kNoLimit;
  double best_rate_ = 0;  ///< Of all windows, fading.
  Duration burst_{};      ///< What may go at once after a pause.
  double pace_ = 0;       ///< Bytes a second.
  Instant next_bulk_{};
  bool held_ = false;
  int holds_ = 0;              ///< Windows for which it is still called so.
  bool changed_ = false;       ///< In the latest window.
  bool lowered_ = false;       ///< Since the queue was last short enough.
  std::uint64_t settled_ = 0;  ///< The latest limit that neither queued nor left the line idle.
  Instant long_since_{};       ///< Since when the queue is long although bulk was held.
  Instant left_until_{};
  Duration pause_ = kFirstPause;
};

}  // namespace culvert
