#include "tunnel-core/mux/send_half.hpp"

#include <algorithm>

namespace culvert {
namespace {

constexpr std::uint8_t kMostSlabsARead = 16;
/// A slab's tail smaller than this is not worth a frame of its own.
constexpr std::size_t kSmallestTail = 512;

}  // namespace

std::uint64_t SendHalf::free_credit() const {
  return limit() > read_ ? limit() - read_ : 0;
}

bool SendHalf::extendable() const {
  return !segments_.empty() && segments_.back().offset >= sent_ && !segments_.back().queued_again &&
         segments_.back().length < kMaxPayload && packing_ &&
         segments_.back().data + segments_.back().length == packing_.data() + packing_used_;
}

std::size_t SendHalf::prepare_read(std::span<MutableByteSpan> out, std::uint64_t credit,
                                   std::uint64_t read_ahead) {
  const std::uint64_t waiting = read_ - sent_;
  std::uint64_t room = std::min({credit, free_credit(), read_ahead > waiting ? read_ahead - waiting : 0});
  if (final_ || room == 0 || out.empty()) return 0;

  std::size_t count = 0;
  const auto offer = [&](std::byte* data, std::size_t size) {
    size = std::min<std::uint64_t>(size, room);
    out[count++] = {data, size};
    room -= size;
  };
  extending_ = packing_offered_ = false;
  if (packing_) {
    extending_ = extendable();
    const std::size_t headroom = extending_ ? 0 : kFrameHeaderSize;
    const std::size_t tail = kSlabSize - packing_used_;
    if (tail >= headroom + kSmallestTail) {
      packing_offered_ = true;
      offer(packing_.data() + packing_used_ + headroom, tail - headroom);
    }
  }
  while (room > 0 && count < std::min<std::size_t>(out.size(), read_slabs_) + (packing_offered_ ? 1 : 0) &&
         count < out.size()) {
    if (!reserve_slabs(slab_count_ + offered_.size() + 1)) break;
    SlabRef slab = slabs_->allocate();
    if (!slab) break;
    offer(slab.data() + kFrameHeaderSize, kMaxPayload);
    offered_.push_back(std::move(slab));
  }
  return count;
}

void SendHalf::commit_read(std::size_t n) {
  if (packing_offered_ && n > 0) {
    const std::size_t headroom = extending_ ? 0 : kFrameHeaderSize;
    const std::size_t taken = std::min(n, kSlabSize - packing_used_ - headroom);
    if (extending_) {
      segments_.back().length += static_cast<std::uint32_t>(taken);
      read_ += taken;
    } else {
      append(packing_, packing_.data() + packing_used_ + headroom, taken);
    }
    packing_used_ += headroom + taken;
    n -= taken;
  }
  const std::size_t offered = offered_.size();
  std::size_t filled = 0;
  while (n > 0) {
    TUNNEL_ASSERT(!offered_.empty());
    SlabRef slab = std::move(offered_.front());
    offered_.pop_front();
    const std::size_t taken = std::min(n, kMaxPayload);
    ++slab_count_;
    append(slab, slab.data() + kFrameHeaderSize, taken);
    n -= taken;
    // Only a slab whose last payload is small is packed further: bulk data keeps to full frames.
    drop_packing();
    if (taken < kPackBelow) {
      packing_ = std::move(slab);
      packing_used_ = kFrameHeaderSize + taken;
    }
    filled += taken == kMaxPayload ? 1 : 0;
  }
  if (offered > 0 && filled == offered)
    read_slabs_ = std::min<std::uint8_t>(read_slabs_ * 2, kMostSlabsARead);
  if (filled < offered) read_slabs_ = static_cast<std::uint8_t>(filled + 1);
  while (!offered_.empty()) offered_.pop_front();
  extending_ = packing_offered_ = false;
  reserve_slabs(slab_count_);
}

void SendHalf::append(SlabRef slab, std::byte* data, std::size_t n) {
  segments_.push_back({std::move(slab), data, read_, static_cast<std::uint32_t>(n), false, false});
  read_ += n;
}

void SendHalf::finish() {
  if (!final_) final_ = read_;
}

bool SendHalf::has_frame() const {
  if (!again_.empty() || fin_is_due()) return true;
  return sent_ < read_ && sent_ < limit();
}

std::size_t SendHalf::next_size() const {
  if (!again_.empty()) {
    const Segment& segment = segments_[index_of(again_.front())];
    return static_cast<std::size_t>(std::min(segment.end(), sent_) - segment.offset);
  }
  if (fin_is_due()) return 0;
  return static_cast<std::size_t>(std::min(segments_[unsent_].end(), limit()) - sent_);
}

SendPiece SendHalf::next_frame(std::size_t most) {
  if (!again_.empty()) return resend_frame();
  if (fin_is_due()) {
    fin_sent_ = fin_ever_sent_ = true;
    return {sent_, {}, true, nullptr};
  }
  TUNNEL_ASSERT(sent_ < read_ && sent_ < limit());
  Segment& segment = segments_[unsent_];
  std::uint64_t end = std::min(segment.end(), limit());
  // No small rest: small payloads keep to one lane.
  if (end - sent_ >= most + kPackBelow) end = sent_ + most;
  std::byte* const data = segment.data + (sent_ - segment.offset);
  SendPiece piece{sent_, {data, static_cast<std::size_t>(end - sent_)}, false, nullptr};
  // Before any other byte of the segment lie bytes that may have to be sent again.
  if (sent_ == segment.offset) piece.headroom = data - kFrameHeaderSize;
  sent_ = end;
  if (end == segment.end()) ++unsent_;
  if (final_ && sent_ == *final_) piece.fin = fin_sent_ = fin_ever_sent_ = true;
  return piece;
}

SendPiece SendHalf::resend_frame() {
  Segment& segment = segments_[index_of(again_.front())];
  again_.pop_front();
  segment.queued_again = false;
  const std::uint64_t end = std::min(segment.end(), sent_);
  SendPiece piece{segment.offset,
                  {segment.data, static_cast<std::size_t>(end - segment.offset)},
                  false,
                  segment.data - kFrameHeaderSize};
  if (final_ && end == *final_) piece.fin = fin_sent_ = fin_ever_sent_ = true;
  skip_settled_resends();
  return piece;
}

/// Keeps the promise of has_frame(): what stands first in again_ still has to be sent.
void SendHalf::skip_settled_resends() {
  while (!again_.empty()) {
    const std::uint64_t offset = again_.front();
    if (!segments_.empty() && offset >= segments_.front().offset) {
      Segment& segment = segments_[index_of(offset)];
      if (segment.queued_again && !segment.receipted) return;
      segment.queued_again = false;
    }
    again_.pop_front();
  }
}

/// Segments are contiguous, so the one that holds an offset is found by halving.
std::size_t SendHalf::index_of(std::uint64_t offset) const {
  std::size_t low = 0;
  std::size_t high = segments_.size();
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (segments_[middle].offset <= offset ? low : high) = middle;
  }
  return low;
}

void SendHalf::handle_receipt(std::uint64_t offset, std::size_t length, bool fin) {
  if (fin) fin_receipted_ = true;
  if (segments_.empty() || length == 0 || offset < segments_.front().offset) return;
  Segment& segment = segments_[index_of(offset)];
  if (segment.offset == offset && segment.length == length) segment.receipted = true;
  skip_settled_resends();
}

void SendHalf::handle_lost(std::uint64_t offset, std::size_t length, bool fin) {
  if (fin && !fin_receipted_ && !fin_acknowledged_) fin_sent_ = false;
  if (length == 0 || segments_.empty()) return;
  const std::uint64_t end = offset + length;
  if (end <= accepted_) return;
  for (std::size_t i = index_of(std::max(offset, accepted_)); i < segments_.size(); ++i) {
    Segment& segment = segments_[i];
    if (segment.offset >= end) break;
    if (segment.receipted || segment.queued_again) continue;
    segment.queued_again = true;
    again_.push_back(segment.offset);
  }
}

/// docs/protocol.md §8.1.
Result<void> SendHalf::handle_ack(std::uint64_t accepted, std::uint64_t granted, bool fin) {
  if (accepted > sent_) {
    return Error{Errc::FlowControlViolation,
                 "ACK of " + std::to_string(accepted) + ", sent were " + std::to_string(sent_)};
  }
  if (granted >= kMaxOffset) return Error{Errc::FlowControlViolation, "granted is beyond 2^62"};
  if (fin && (!fin_ever_sent_ || accepted != *final_)) {
    return Error{Errc::CounterContradiction, "ACK with FIN before the final offset"};
  }
  granted_ = std::max(granted_, granted);
  if (fin) fin_acknowledged_ = true;
  if (accepted <= accepted_) return {};
  accepted_ = accepted;
  while (!segments_.empty() && segments_.front().end() <= accepted_) pop_segment();
  skip_settled_resends();
  if (segments_.empty()) drop_packing();
  reserve_slabs(slab_count_);
  return {};
}

void SendHalf::pop_segment() {
  const std::byte* const base = segments_.front().slab.data();
  segments_.front().queued_again = false;
  segments_.pop_front();
  if (unsent_ > 0) --unsent_;
  const bool shared =
      (!segments_.empty() && segments_.front().slab.data() == base) || (packing_ && packing_.data() == base);
  if (!shared) --slab_count_;
}

void SendHalf::drop_packing() {
  if (!packing_) return;
  const bool shared = !segments_.empty() && segments_.back().slab.data() == packing_.data();
  // While commit_read runs, the newest segment may lie in the next slab already.
  const bool shared_before =
      segments_.size() > 1 && segments_[segments_.size() - 2].slab.data() == packing_.data();
  if (!shared && !shared_before) --slab_count_;
  packing_ = {};
  packing_used_ = 0;
}

bool SendHalf::return_idle_credit() {
  if (!all_accepted() || final_ || limit() <= sent_ + kMinimumWindow) return false;
  returned_ += limit() - sent_ - kMinimumWindow;
  return true;
}

bool SendHalf::return_credit_if_idle() {
  const bool is_idle = sent_before_ == sent_;
  sent_before_ = sent_;
  return is_idle && return_idle_credit();
}

/// The minimum and one slab are every stream's own; what is above is taken from the session.
bool SendHalf::reserve_slabs(std::size_t count) {
  const std::uint64_t bytes = count * kSlabSize;
  const std::uint64_t needed = bytes > kSlabSize + kMinimumWindow ? bytes - kSlabSize - kMinimumWindow : 0;
  if (needed > reserved_) {
    const std::uint64_t more = needed - reserved_;
    if (more > memory_.room_to_grow(reserved_) || !memory_.reserve(more)) return false;
  } else {
    memory_.release(reserved_ - needed);
  }
  reserved_ = needed;
  return true;
}

void SendHalf::release_idle_storage() {
  if (segments_.empty()) {
    segments_.clear();
    again_.clear();
    offered_.clear();
  }
}

void SendHalf::clear() {
  segments_.clear();
  again_.clear();
  offered_.clear();
  packing_ = {};
  slab_count_ = 0;
  unsent_ = 0;
  read_ = sent_ = accepted_;
  reserve_slabs(0);
}

}  // namespace culvert
