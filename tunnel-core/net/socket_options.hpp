// The two kinds of sockets and what each gets. Never mixed: TCP_USER_TIMEOUT would kill a target that merely
// pauses.
#pragma once

#include <chrono>
#include <cstddef>

namespace culvert {

/// For lanes: TLS connections between agent and gateway.
struct LaneSocketOptions {
  /// Bytes the kernel queues unsent; the rest waits with us, where small frames can overtake it. 16 to 256
  /// KiB.
  std::size_t notsent_lowat_bytes = 128 * 1024;
  /// Sent data unacknowledged for so long means that the path is dead. 0: the system's default.
  std::chrono::milliseconds user_timeout{2500};
};

/// TCP_NODELAY and the options above. For a connected socket. Failures are ignored, here and below: every one
/// of these is an improvement, not a need, and not each kernel has all of it.
void tune_lane_socket(int fd, const LaneSocketOptions& options);

/// Congestion control of a lane that sends bulk: BBR keeps a far and lossy path full where CUBIC gives up (8
/// against 387 Mbit/s at 0.1 % loss, 80 ms). Below 2 ms of round trip there is nothing to gain, and its
/// pacing costs 14 to 23 % more CPU for each byte: nothing is changed there.
void tune_for_bulk(int fd);

/// Of one that sends answers and receipts: CUBIC. Every 10 s BBR lets four packets be in flight for 200 ms,
/// and they are small but many: answers would wait for a round trip, and bulk for the receipts that make room
/// for it.
void tune_for_answers(int fd);

/// As the lane's measured rate changes.
void set_notsent_lowat(int fd, std::size_t bytes);

/// For sources and targets: TCP_NODELAY, keepalive (60 s idle, 3 probes 10 s apart), which ends connections
/// of hosts that vanished and never those of hosts that pause, and reset_when_closed(). A listening socket
/// passes all of it on to what it accepts, which saves six system calls for each stream.
void tune_local_socket(int fd);

/// From the beginning, so that the kernel resets the stream too when it closes the socket of a killed
/// process.
void reset_when_closed(int fd, bool reset);

}  // namespace culvert
