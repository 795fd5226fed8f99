#include "tunnel-core/mux/receive_half.hpp"

#include <algorithm>

namespace culvert {
namespace {

constexpr std::uint64_t kInitialWindow = 256 * 1024;
constexpr std::uint64_t kAckAtMostEvery = 512 * 1024;

/// Memory behind `extra` bytes of credit: kept slabs may waste an eighth (limits.hpp).
std::uint64_t cost(std::uint64_t extra) {
  return extra + extra / 7 + 1;
}
std::uint64_t affordable(std::uint64_t memory) {
  return memory > 1 ? (memory - 1) / 8 * 7 : 0;
}

}  // namespace

/// docs/protocol.md §6.3.
Result<void> ReceiveHalf::handle_data(std::uint64_t offset, ByteSpan bytes, bool fin, const SlabRef& slab) {
  const std::uint64_t end = offset + bytes.size();
  if (offset >= kMaxOffset || end > granted_ - returned_) {
    return Error{Errc::FlowControlViolation, "bytes up to " + std::to_string(end) + ", but the limit is " +
                                                 std::to_string(granted_ - returned_)};
  }
  if (final_ && (end > *final_ || (fin && end != *final_))) {
    return Error{Errc::FinalOffsetChanged,
                 "the final offset was " + std::to_string(*final_) + ", now " + std::to_string(end)};
  }
  if (fin) {
    if (end < highest_) {
      return Error{Errc::FinalOffsetChanged, "FIN at " + std::to_string(end) + " behind received bytes"};
    }
    final_ = end;
  }
  highest_ = std::max(highest_, end);
  if (bytes.empty() || discard_) return {};
  auto inserted = buffer_.insert(offset, bytes, slab, cost(outstanding()));
  if (!inserted) return inserted;
  const bool used_up = highest_ + window_ / 8 >= granted_ - returned_;
  if (used_up && buffer_.gaps() > 0 && !has_readable()) held_up_ = true;
  if (buffer_.gaps() > outstanding() / kPackBelow + 64) {
    return Error{Errc::TooManyGaps, std::to_string(buffer_.gaps()) + " gaps wait to be filled"};
  }
  return {};
}

/// docs/protocol.md §8.4.
Result<void> ReceiveHalf::handle_return(std::uint64_t returned) {
  if (returned <= returned_) return {};
  if (returned > granted_ || granted_ - returned < highest_) {
    return Error{Errc::FlowControlViolation, "more credit was returned than was unused"};
  }
  returned_ = returned;
  window_ = std::min(window_, kInitialWindow);
  const std::uint64_t left = outstanding();
  reserve(left > kMinimumWindow ? left - kMinimumWindow : 0);
  return {};
}

/// The window doubles when half of it is accepted within two round trips, or when the sender has used it up
/// while all that was waited for were bytes on a slower lane: then its loop is longer than a round trip. A
/// slow local socket earns no larger window.
void ReceiveHalf::tune_window(Instant now, Duration round_trip) {
  const std::uint64_t accepted = buffer_.accepted();
  if (window_ < kInitialWindow) {
    window_ = kInitialWindow;
    tune_since_ = now;
    return;
  }
  const Duration two_loops = std::max<Duration>(2 * round_trip, 10ms);
  const bool quick = now - tune_since_ <= two_loops;
  const bool half = accepted - tune_from_ >= window_ / 2;
  if (quick && !half) return;
  // Enough for a loop of eight round trips; what is still short then is not for want of a window.
  const auto loops = (now - tune_since_) / std::max<Duration>(round_trip, 1ms) + 1;
  const bool worth_more =
      held_up_ && window_ / 8 < (accepted - tune_from_) / static_cast<std::uint64_t>(loops);
  if (quick || worth_more) window_ = std::min(window_ * 2, kMaxOffset / 4);
  const std::chrono::duration<double> eight_loops = 4 * two_loops;
  taken_ = static_cast<std::uint64_t>(static_cast<double>(accepted - tune_from_) *
                                      (eight_loops / std::max(now - tune_since_, two_loops)));
  tune_from_ = accepted;
  tune_since_ = now;
  held_up_ = false;
}

void ReceiveHalf::update_credit(Instant now, Duration round_trip) {
  if (final_ || discard_) return;
  const std::uint64_t accepted = buffer_.accepted();
  credit_at_ = accepted;
  tune_window(now, round_trip);

  const std::uint64_t had = reserved_;
  const std::uint64_t wanted = window_ - kMinimumWindow;
  std::uint64_t may_have = wanted;
  if (wanted > had) {
    const SessionMemory& memory = credit_.memory;
    const std::uint64_t by_memory = affordable(memory.room_to_grow(cost(had)));
    // Streams that say little, or whose targets stop reading, leave the second half to those that move bytes.
    const std::uint64_t for_all = std::min(affordable(memory.room_in_half()), credit_.left_in_half());
    const std::uint64_t by_pace = std::max(for_all, taken_ - std::min(taken_, kMinimumWindow + had));
    may_have = had + std::min({wanted - had, by_memory, credit_.left(), by_pace});
  }
  // Where a session of another thread has taken the memory meanwhile, what is reserved already still counts.
  if (!raise_granted(returned_ + accepted + kMinimumWindow + may_have)) {
    raise_granted(returned_ + accepted + kMinimumWindow + std::min(had, may_have));
  }
}

bool ReceiveHalf::raise_granted(std::uint64_t to) {
  const std::uint64_t granted = std::max(granted_, to);
  const std::uint64_t left = granted - returned_ - buffer_.accepted();
  if (!reserve(left > kMinimumWindow ? left - kMinimumWindow : 0)) return false;
  granted_ = granted;
  return true;
}

/// Always succeeds downwards. Upwards another session may have taken the process's last memory meanwhile.
bool ReceiveHalf::reserve(std::uint64_t extra) {
  const std::uint64_t before = reserved_ > 0 ? cost(reserved_) : 0;
  const std::uint64_t after = extra > 0 ? cost(extra) : 0;
  if (after > before) {
    if (!credit_.memory.reserve(after - before)) return false;
  } else {
    credit_.memory.release(before - after);
  }
  credit_.granted_extra += extra;
  credit_.granted_extra -= reserved_;
  reserved_ = extra;
  return true;
}

bool ReceiveHalf::ack_is_urgent() const {
  // A quarter of what the sender may have: where memory is short that is less than the window it has earned.
  // It was told of the minimum before any ACK.
  const std::uint64_t told = std::max<std::uint64_t>(acked_granted_, kMinimumWindow);
  const std::uint64_t credit = told - std::min(told, returned_ + acked_accepted_);
  return buffer_.accepted() - acked_accepted_ >= std::min({window_ / 4, credit / 4, kAckAtMostEvery});
}

void ReceiveHalf::note_ack_sent() {
  acked_accepted_ = buffer_.accepted();
  acked_granted_ = granted_;
  owes_news_ = false;
}

void ReceiveHalf::discard() {
  discard_ = true;
  buffer_.clear();
}

void ReceiveHalf::release_all() {
  buffer_.clear();
  reserve(0);
}

}  // namespace culvert
