#include "tunnel-core/mux/receive_buffer.hpp"

#include <algorithm>

#include "tunnel-core/base/limits.hpp"

namespace culvert {

Result<void> ReceiveBuffer::insert(std::uint64_t offset, ByteSpan bytes, const SlabRef& slab,
                                   std::uint64_t max_bytes) {
  if (offset < received_) {
    const std::size_t known = std::min<std::uint64_t>(bytes.size(), received_ - offset);
    bytes = bytes.subspan(known);
    offset += known;
  }
  while (!bytes.empty()) {
    auto next = ahead_.upper_bound(offset);
    if (next != ahead_.begin() && std::prev(next)->second.end() > offset) --next;
    if (next != ahead_.end() && next->first <= offset) {  // A piece has the first of these bytes already.
      const std::size_t known = std::min<std::uint64_t>(bytes.size(), next->second.end() - offset);
      bytes = bytes.subspan(known);
      offset += known;
      continue;
    }
    std::size_t fresh = bytes.size();
    if (next != ahead_.end()) fresh = std::min<std::uint64_t>(fresh, next->first - offset);
    auto stored = store(offset, bytes.first(fresh), slab);
    if (!stored) return stored;
    bytes = bytes.subspan(fresh);
    offset += fresh;
  }
  pull_ahead();
  if (kept_ > 0 && allocated_bytes() > max_bytes + kSlabSize) return move_kept_into_pages();
  return {};
}

Result<void> ReceiveBuffer::store(std::uint64_t offset, ByteSpan bytes, const SlabRef& slab) {
  if (bytes.size() < kKeepSlabFrom || copy_all_) return copy_into_pages(offset, bytes);
  ++kept_;
  add({slab, bytes.data(), offset, static_cast<std::uint32_t>(bytes.size()), true});
  return {};
}

Result<void> ReceiveBuffer::copy_into_pages(std::uint64_t offset, ByteSpan bytes) {
  while (!bytes.empty()) {
    SlabRef* const slab = page(offset / kSlabSize);
    if (slab == nullptr) return Error{Errc::MemoryLimitReached, "no slab is left for received bytes"};
    const std::size_t at = offset % kSlabSize;
    const std::size_t n = std::min(bytes.size(), kSlabSize - at);
    std::memcpy(slab->data() + at, bytes.data(), n);
    add({*slab, slab->data() + at, offset, static_cast<std::uint32_t>(n), false});
    bytes = bytes.subspan(n);
    offset += n;
  }
  return {};
}

/// Appends to what is ready or sorts in ahead of it, joined to a neighbour that lies beside it in its page.
void ReceiveBuffer::add(Piece piece) {
  if (piece.offset == received_) {
    received_ = piece.end();
    if (!ready_.empty() && ready_.back().runs_into(piece)) {
      ready_.back().length += piece.length;
    } else {
      ready_.push_back(std::move(piece));
    }
    return;
  }
  add_ahead(std::move(piece));
}

void ReceiveBuffer::add_ahead(Piece piece) {
  auto next = ahead_.lower_bound(piece.offset);
  const bool follows = next != ahead_.begin() && std::prev(next)->second.end() == piece.offset;
  const bool leads = next != ahead_.end() && piece.end() == next->first;
  gaps_ += follows ? 0 : 1;
  gaps_ -= leads ? 1 : 0;
  if (next != ahead_.end() && piece.runs_into(next->second)) {
    piece.length += next->second.length;
    next = ahead_.erase(next);
  }
  if (next != ahead_.begin() && std::prev(next)->second.runs_into(piece)) {
    std::prev(next)->second.length += piece.length;
    return;
  }
  ahead_.emplace_hint(next, piece.offset, std::move(piece));
}

void ReceiveBuffer::pull_ahead() {
  while (!ahead_.empty() && ahead_.begin()->first == received_) {
    Piece piece = std::move(ahead_.begin()->second);
    ahead_.erase(ahead_.begin());
    if (ahead_.empty() || ahead_.begin()->first != piece.end()) --gaps_;
    add(std::move(piece));
  }
}

std::size_t ReceiveBuffer::readable(std::span<ByteSpan> out) const {
  const std::size_t n = std::min(out.size(), ready_.size());
  for (std::size_t i = 0; i < n; ++i) out[i] = {ready_[i].data, ready_[i].length};
  return n;
}

void ReceiveBuffer::consume(std::size_t n) {
  TUNNEL_ASSERT(n <= received_ - accepted_);
  accepted_ += n;
  while (n > 0) {
    Piece& first = ready_.front();
    if (n < first.length) {
      first.data += n;
      first.offset += n;
      first.length -= static_cast<std::uint32_t>(n);
      break;
    }
    n -= first.length;
    if (first.kept) --kept_;
    ready_.pop_front();
  }
  drop_passed_pages();
}

void ReceiveBuffer::drop_passed_pages() {
  if (ready_.empty() && ahead_.empty()) {
    pages_.clear();
    copy_all_ = false;
    return;
  }
  const std::uint64_t first_needed = accepted_ / kSlabSize;
  std::size_t passed = 0;
  while (passed < pages_.size() && pages_[passed].number < first_needed) ++passed;
  if (passed > 0) pages_.erase(pages_.begin(), pages_.begin() + static_cast<std::ptrdiff_t>(passed));
}

SlabRef* ReceiveBuffer::page(std::uint64_t number) {
  auto at = std::ranges::lower_bound(pages_, number, {}, &Page::number);
  if (at == pages_.end() || at->number != number) {
    SlabRef slab = pool_->allocate();
    if (!slab) return nullptr;
    at = pages_.insert(at, {number, std::move(slab)});
  }
  return &at->slab;
}

Result<void> ReceiveBuffer::move_kept_into_pages() {
  Ring<Piece> ready = std::move(ready_);
  ready_ = {};
  std::map<std::uint64_t, Piece> ahead = std::move(ahead_);
  ahead_.clear();
  gaps_ = 0;
  received_ = accepted_;
  kept_ = 0;
  copy_all_ = true;
  const auto move_in = [this](Piece piece) -> Result<void> {
    if (piece.kept) return copy_into_pages(piece.offset, {piece.data, piece.length});
    add(std::move(piece));
    return {};
  };
  while (!ready.empty()) {
    auto moved = move_in(std::move(ready.front()));
    if (!moved) return moved;
    ready.pop_front();
  }
  for (auto& [offset, piece] : ahead) {
    auto moved = move_in(std::move(piece));
    if (!moved) return moved;
  }
  return {};
}

void ReceiveBuffer::release_idle_storage() {
  if (ready_.empty()) ready_.clear();
  if (pages_.empty()) std::vector<Page>{}.swap(pages_);
}

void ReceiveBuffer::clear() {
  ready_.clear();
  ahead_.clear();
  std::vector<Page>{}.swap(pages_);
  // What is dropped was never accepted, and must not be told so.
  received_ = accepted_;
  gaps_ = 0;
  kept_ = 0;
}

}  // namespace culvert
