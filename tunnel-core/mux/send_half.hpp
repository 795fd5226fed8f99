// The sending direction of a stream: bytes read from the local socket, kept until the peer's kernel has them.
// The window is the replay buffer: what is not accepted can be sent again on any lane.
#pragma once

#include <optional>
#include <span>

#include "tunnel-core/base/limits.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/ring.hpp"
#include "tunnel-core/base/slab.hpp"
#include "tunnel-core/mux/memory.hpp"
#include "tunnel-core/wire/frame.hpp"

namespace culvert {

/// Bytes of one DATA frame.
struct SendPiece {
  std::uint64_t offset;
  ByteSpan bytes;
  bool fin;
  std::byte*
      headroom;  ///< 16 free bytes right before `bytes` for the header, or null: then it goes out apart.
};

class SendHalf {
 public:
  SendHalf(SlabPool& slabs, SessionMemory& memory) : slabs_(&slabs), memory_(memory) {}
  ~SendHalf() { clear(); }

  // The local socket.
  /// Where the next bytes from the socket may go; none when credit, memory or read-ahead is used up.
  /// @param  read_ahead  bytes that may wait unsent.
  /// @return number of spans filled. Valid until commit_read(), which must follow.
  std::size_t prepare_read(std::span<MutableByteSpan> out, std::uint64_t credit, std::uint64_t read_ahead);
  void commit_read(std::size_t n);
  /// The socket reported its end: no more bytes.
  void finish();
  bool finished_reading() const { return final_.has_value(); }

  // Lanes.
  bool has_frame() const;
  /// Bytes of the next piece; 0 is a FIN alone. has_frame() must hold.
  std::size_t next_size() const;
  /// All that was sent is accepted: nothing can be overtaken.
  bool nothing_in_flight() const { return accepted_ == sent_; }
  /// The next piece to send; sending_ moves on. has_frame() must hold. Views live until the bytes are
  /// accepted.
  /// @param most  bytes of payload that have not been sent before.
  SendPiece next_frame(std::size_t most = kMaxPayload);
  void handle_receipt(std::uint64_t offset, std::size_t length, bool fin);
  /// The lane with this frame is lost: queued again, unless accepted or receipted elsewhere.
  void handle_lost(std::uint64_t offset, std::size_t length, bool fin);

  // The peer.
  /// @error FlowControlViolation, CounterContradiction.
  Result<void> handle_ack(std::uint64_t accepted, std::uint64_t granted, bool fin);
  bool fin_acknowledged() const { return fin_acknowledged_; }

  /// Bytes the peer still lets us send and that no read byte waits for.
  std::uint64_t free_credit() const;
  /// Gives back credit above the minimum, if there is any and nothing is unaccepted. True: RETURN is due.
  bool return_idle_credit();
  /// The same, if nothing was sent since the last call: for one who calls it once a second.
  bool return_credit_if_idle();
  std::uint64_t returned() const { return returned_; }

  std::uint64_t unaccepted() const { return read_ - accepted_; }
  bool all_accepted() const { return accepted_ == read_; }
  std::uint64_t sent() const { return sent_; }
  std::uint64_t unsent() const { return read_ - sent_; }
  std::size_t allocated_bytes() const { return slab_count_ * kSlabSize; }
  void release_idle_storage();
  void clear();

 private:
  struct Segment {
    SlabRef slab;
    std::byte* data;
    std::uint64_t offset;
    std::uint32_t length;
    bool receipted;
    bool queued_again;

    std::uint64_t end() const { return offset + length; }
  };

  std::uint64_t limit() const { return granted_ - returned_; }
  bool fin_is_due() const { return final_ && sent_ == *final_ && !fin_sent_; }
  bool extendable() const;
  std::size_t index_of(std::uint64_t offset) const;
  SendPiece resend_frame();
  void skip_settled_resends();
  void append(SlabRef slab, std::byte* data, std::size_t n);
  void pop_segment();
  void drop_packing();
  bool reserve_slabs(std::size_t count);

  SlabPool* slabs_;
  SessionMemory& memory_;
  Ring<Segment> segments_;     ///< [accepted_, read_), contiguous.
  std::size_t unsent_ = 0;     ///< Index of the first segment that ends behind sent_.
  Ring<std::uint64_t> again_;  ///< Offsets of segments to send again.
  SlabRef packing_;            ///< The slab that small reads are packed into.
  std::size_t packing_used_ = 0;
  Ring<SlabRef> offered_;         ///< Slabs handed out by prepare_read.
  bool extending_ = false;        ///< The first offered span continues the last segment.
  bool packing_offered_ = false;  ///< The first offered span lies in packing_.
  std::uint8_t read_slabs_ = 1;   ///< Slabs to offer next time: doubles while reads fill them.
  std::uint32_t slab_count_ = 0;  ///< Distinct slabs owned.
  std::uint64_t reserved_ = 0;    ///< Memory above the minimum and one slab, bytes.
  std::uint64_t read_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t accepted_ = 0;
  std::uint64_t granted_ = kMinimumWindow;
  std::uint64_t returned_ = 0;
  std::optional<std::uint64_t> sent_before_;  ///< sent_ at the last return_credit_if_idle().
  std::optional<std::uint64_t> final_;
  bool fin_sent_ = false;       ///< And the lane it went over is not lost.
  bool fin_ever_sent_ = false;  ///< The peer may know of it.
  bool fin_receipted_ = false;
  bool fin_acknowledged_ = false;
};

}  // namespace culvert
