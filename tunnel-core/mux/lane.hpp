// One lane as the session sees it: what is in flight on it, receipts, liveness, rate. No bytes move here.
#pragma once

#include <algorithm>
#include <optional>

#include "tunnel-core/base/limits.hpp"
#include "tunnel-core/base/ring.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/mux/line_queue.hpp"
#include "tunnel-core/wire/frame.hpp"
#include "tunnel-core/wire/frame_splitter.hpp"

namespace culvert {

class Lane {
 public:
  Lane(LaneId lane_id, SlabPool& slabs, Instant now)
      : id(lane_id), splitter(slabs), last_received(now), rate_since_(now) {}

  /// A frame that was handed out for this lane and is not receipted yet.
  struct InFlight {
    FrameHeader header;
    Instant sent_at;
    bool moved = false;  ///< Sent again on another lane, because this one was suspected.
  };

  /// A peer that never sends receipts cannot make us remember more.
  bool may_send_state() const { return in_flight.size() < kMostInFlight; }
  /// Remembers a state frame until its receipt.
  void note_sent(const FrameHeader& header, Instant now);
  /// A state frame of the peer was processed; its receipt becomes due.
  void note_processed(std::size_t frame_size, Instant now);

  /// Takes what RECEIPT{n} confirms, oldest first, through `settle(const FrameHeader&)`.
  /// @error ReceiptInvalid: more than was sent, or falling.
  template <class Settle>
  Result<void> handle_receipt(std::uint64_t n, Instant now, Settle settle) {
    if (n < receipted_ || n > receipted_ + in_flight.size()) {
      return Error{Errc::ReceiptInvalid, "RECEIPT of " + std::to_string(n) + ", sent were " +
                                             std::to_string(receipted_ + in_flight.size())};
    }
    if (n == receipted_) return {};
    const Instant sent_at = in_flight[n - receipted_ - 1].sent_at;
    last_progress_ = last_receipt_ = now;
    suspected = carries_again = false;
    for (; receipted_ < n; ++receipted_) {
      const FrameHeader header = in_flight.front().header;
      in_flight.pop_front();
      rate_bytes_ += kFrameHeaderSize + header.length;
      in_flight_bytes_ -= kFrameHeaderSize + header.length;
      delivered_bytes += kFrameHeaderSize + header.length;
      settle(header);
    }
    measure(sent_at, now);
    return {};
  }

  bool receipt_is_due(Instant now) const {
    // A lane that is given back is held up by nothing but receipts.
    return processed_ > receipt_sent_ &&
           (unreceipted_bytes_ >= kReceiptEvery || now >= receipt_deadline_ || retiring);
  }
  /// When a timer has to see to the receipt; none once it has: then it waits for the lane to be writable.
  std::optional<Instant> receipt_deadline() const {
    return processed_ > receipt_sent_ && !receipt_timed_ ? std::optional{receipt_deadline_} : std::nullopt;
  }
  void handle_timeout(Instant now) {
    if (processed_ > receipt_sent_ && now >= receipt_deadline_) receipt_timed_ = true;
  }
  /// The n of the RECEIPT that is going out now.
  std::uint64_t take_receipt();

  /// Bytes that may wait sealed before the kernel has taken them: 2 ms at the measured rate.
  std::size_t seal_budget() const;
  /// The same for what the kernel may queue unsent, a power of two. Its cap is higher: a queue that runs dry
  /// before this thread is scheduled again leaves a fast line idle.
  std::size_t kernel_budget() const;
  /// The largest payload that takes at most 10 ms at the measured rate, between `least` and kMaxPayload; 4
  /// KiB on a new lane, over which many streams may have to tell first what the last one lost.
  std::size_t payload_limit(std::size_t least) const;
  /// What a stream of weight 1 sends in a row, in bytes: 80 us at the measured rate. Streams of the default
  /// weight take turns by frames on slow lanes; on fast ones the far end gets large pieces for its targets.
  /// @param payload  of one frame: payload_limit()
  std::size_t quantum(std::size_t payload) const;
  /// Smoothed, with what queues on the way; 0 while unknown.
  Duration round_trip() const { return round_trip_; }
  /// Of the last 1 to 2 s; 0 while unknown.
  Duration least_round_trip() const;
  /// The same without what waits at this end before the line: on a slow lane that takes longer than the line.
  Duration line_round_trip() const;
  /// Even the shortest round trips are longer than the line itself, or bulk is held so that they are not: the
  /// line is full.
  bool queue_stands() const;
  /// From now to the receipt of `more` further bytes. @param unknown  round trip while none was measured.
  Duration expected_delivery(std::size_t more, Duration unknown) const;
  /// What is in flight fills the line: bulk that goes out now would make small answers wait behind it.
  bool bulk_would_queue() const { return in_flight_bytes_ >= line_queue_.limit(); }
  void note_held() { line_queue_.note_held(); }
  /// Bulk that went out; when the next may, where it is held.
  void note_bulk(std::size_t frame_size, Instant now) {
    bulk_bytes_ += frame_size;
    line_queue_.note_bulk(frame_size, now);
  }
  std::uint64_t bulk_bytes() const { return bulk_bytes_; }
  Instant next_bulk() const { return line_queue_.next_bulk(); }
  /// It could have taken more than there was: what it delivers meanwhile is no measure of what it could.
  void note_hungry() { was_hungry_ = true; }
  /// When the lane is to be suspected unless a receipt comes; none while nothing is in flight.
  std::optional<Instant> stall_deadline() const;
  /// That confirmed something.
  Instant last_receipt() const { return last_receipt_; }
  /// LANE_CLOSE may go out: all that was sent is receipted, or went to other lanes.
  bool close_is_due() const;
  bool takes_new_frames() const { return !retiring && !suspected; }

  const LaneId id;
  FrameSplitter splitter;
  Ring<InFlight> in_flight;
  Instant last_received;  ///< Of any byte.
  Instant last_ping{};
  std::uint64_t ping_number = 0;  ///< Of the latest PING sent.
  Instant ping_sent_at{};
  unsigned unanswered_pings = 0;  ///< Asked for since the last byte came.
  bool ping_due = false;
  std::optional<std::uint64_t> pong_due;  ///< Value of the latest PING received.
  bool suspected = false;                 ///< No receipt came when it should have: docs/protocol.md §7.
  bool carries_again = false;             ///< It was given frames because no lane was well.
  bool retiring = false;                  ///< Given back by either end: no new state frames.
  bool close_sent = false;                ///< LANE_CLOSE.
  bool close_received = false;
  bool end_due = false;  ///< SESSION_END has to go out.
  bool silent = false;   ///< It went out: nothing may follow.
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t delivered_bytes = 0;  ///< Of state frames sent, receipted.

  void measure(Instant sent_at, Instant now);

 private:
  Duration own_waiting() const;

  static constexpr std::size_t kReceiptEvery = 64 * 1024;
  static constexpr std::size_t kMostInFlight = 65536;  ///< Frames: 1 GiB of full ones, 1.5 MiB of memory.

  std::uint64_t receipted_ = 0;  ///< Of our state frames.
  std::uint64_t processed_ = 0;  ///< Of the peer's state frames.
  std::uint64_t receipt_sent_ = 0;
  std::size_t unreceipted_bytes_ = 0;
  Instant receipt_deadline_{};
  bool receipt_timed_ = false;  ///< receipt_deadline_ has passed.
  Duration round_trip_ = 0ms;   ///< Smoothed, 0 while unknown.
  Duration variation_ = 0ms;    ///< Smoothed distance of samples from it (RFC 6298 §2).
  Duration least_[2] = {};      ///< Least round trips of the present and the previous period; 0: none.
  Duration least_ever_{};
  Duration window_least_{};  ///< Least round trip since rate_since_; 0: none.
  LineQueue line_queue_;
  Instant least_since_{};
  Instant last_receipt_{};
  Instant last_progress_{};  ///< Of receipts, or since when frames wait for one.
  std::uint64_t in_flight_bytes_ = 0;
  std::uint64_t bulk_bytes_ = 0;  ///< Sent, headers counted.
  std::uint64_t rate_bytes_ = 0;  ///< Receipted since rate_since_.
  Instant rate_since_;
  double recent_rate_ = 0;  ///< Bytes a second of the busiest time lately; 0 while unknown.
  double rate_ = 0;         ///< Bytes a second when there is enough to send, smoothed; 0 while unknown.
  bool was_hungry_ = true;  ///< At some time since rate_since_.
};

}  // namespace culvert
