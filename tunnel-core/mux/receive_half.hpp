// The receiving direction of a stream: order, credit, and the final offset.
#pragma once

#include <optional>

#include "tunnel-core/base/limits.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/mux/memory.hpp"
#include "tunnel-core/mux/receive_buffer.hpp"

namespace culvert {

/// What all receiving halves of a session share.
struct CreditPool {
  SessionMemory& memory;
  std::uint64_t peer_replay = 0;    ///< What the peer announced it can keep for replay.
  std::uint64_t granted_extra = 0;  ///< Unused and unaccepted credit above the minimum, over all streams.

  std::uint64_t left() const { return peer_replay - std::min(peer_replay, granted_extra); }
  std::uint64_t left_in_half() const { return peer_replay / 2 - std::min(peer_replay / 2, granted_extra); }
};

class ReceiveHalf {
 public:
  /// The minimum must be reserved already; it stays reserved until the stream is finished.
  ReceiveHalf(SlabPool& slabs, CreditPool& credit) : buffer_(slabs), credit_(credit) {}
  ~ReceiveHalf() { release_all(); }

  /// @error FlowControlViolation, FinalOffsetChanged, TooManyGaps, MemoryLimitReached.
  Result<void> handle_data(std::uint64_t offset, ByteSpan bytes, bool fin, const SlabRef& slab);
  /// @error FlowControlViolation: returned more than was unused.
  Result<void> handle_return(std::uint64_t returned);

  std::size_t readable(std::span<ByteSpan> out) const { return discard_ ? 0 : buffer_.readable(out); }
  bool has_readable() const { return !discard_ && buffer_.received() > buffer_.accepted(); }
  void consume(std::size_t n) {
    if (!discard_) buffer_.consume(n);
  }

  /// Everything up to the final offset was accepted: now, and only now, the socket is shut down for writing.
  bool at_end() const { return final_ && buffer_.accepted() == *final_; }
  bool fin_delivered() const { return fin_delivered_; }
  void set_fin_delivered() { fin_delivered_ = true; }

  /// Raises `granted` towards the window the stream has earned, as far as memory allows. The window doubles
  /// when half of it was used up within two round trips (10 ms at least).
  void update_credit(Instant now, Duration round_trip);
  /// Something was accepted since update_credit(). Without that no credit is given: it would go to an idle
  /// sender, who has just given his back.
  bool credit_is_due() const { return buffer_.accepted() != credit_at_; }
  /// Enough was accepted since the last ACK that the sender should hear of it at once.
  bool ack_is_urgent() const;
  void note_ack_sent();

  std::uint64_t accepted() const { return buffer_.accepted(); }
  std::uint64_t granted() const { return granted_; }
  std::uint64_t unused_credit() const { return granted_ - returned_ - highest_; }
  bool has_news() const {
    return owes_news_ || buffer_.accepted() != acked_accepted_ || granted_ != acked_granted_;
  }
  /// The next ACK tells something, whatever the counters say: that the stream is open, or its end delivered.
  void owe_news() { owes_news_ = true; }
  std::size_t allocated_bytes() const { return buffer_.allocated_bytes(); }

  /// The local socket is gone: what arrives from now on is dropped.
  void discard();
  void release_idle_storage() { buffer_.release_idle_storage(); }
  /// Gives back all that is reserved above the minimum. Nothing can be received afterwards.
  void release_all();

 private:
  std::uint64_t outstanding() const { return granted_ - returned_ - buffer_.accepted(); }
  void tune_window(Instant now, Duration round_trip);
  bool raise_granted(std::uint64_t to);
  bool reserve(std::uint64_t extra);

  ReceiveBuffer buffer_;
  CreditPool& credit_;
  std::uint64_t granted_ = kMinimumWindow;
  std::uint64_t returned_ = 0;
  std::uint64_t highest_ = 0;   ///< Behind the furthest byte that ever arrived.
  std::uint64_t reserved_ = 0;  ///< Credit above the minimum that is backed by memory, bytes.
  std::uint64_t window_ = kMinimumWindow;
  std::uint64_t acked_accepted_ = 0;
  std::uint64_t acked_granted_ = kMinimumWindow;
  std::uint64_t credit_at_ = 0;  ///< accepted() at the latest update_credit().
  std::uint64_t tune_from_ = 0;  ///< accepted() when the present measurement of the window began.
  Instant tune_since_{};
  std::uint64_t taken_ = 0;  ///< What was accepted in eight round trips (40 ms at least), as last measured.
  bool held_up_ =
      false;  ///< Since then: the sender used up its credit while only missing bytes were waited for.
  std::optional<std::uint64_t> final_;
  bool fin_delivered_ = false;
  bool owes_news_ = false;
  bool discard_ = false;
};

}  // namespace culvert
