#include "tunnel-core/base/slab.hpp"

#include <algorithm>
#include <utility>

#include "tunnel-core/base/assert.hpp"

namespace culvert {

SlabRef::SlabRef(const SlabRef& other) : pool_(other.pool_), index_(other.index_) {
  if (pool_ != nullptr) ++pool_->counts_[index_];
}

SlabRef& SlabRef::operator=(SlabRef other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(index_, other.index_);
  return *this;
}

SlabRef::~SlabRef() {
  if (pool_ != nullptr && --pool_->counts_[index_] == 0) pool_->release(index_);
}

std::byte* SlabRef::data() const {
  return pool_->region_.data() + std::size_t{index_} * kSlabSize;
}

bool SlabRef::unique() const {
  return pool_ != nullptr && pool_->counts_[index_] == 1;
}

SlabPool::SlabPool(MutableByteSpan region) : region_(region) {
  TUNNEL_ASSERT(region.size() % kSlabSize == 0);
}

SlabPool::~SlabPool() {
  TUNNEL_ASSERT(in_use_ == 0);
}

SlabRef SlabPool::allocate() {
  std::uint32_t index = 0;
  if (!touched_free_.empty()) {
    index = touched_free_.pop();
  } else if (!untouched_.empty()) {
    index = untouched_.back();
    untouched_.pop_back();
  } else if (counts_.size() < region_.size() / kSlabSize) {
    index = static_cast<std::uint32_t>(counts_.size());
    counts_.push_back(0);
  } else {
    return {};
  }
  counts_[index] = 1;
  ++in_use_;
  peak_ = std::max(peak_, in_use_);
  return {this, index};
}

void SlabPool::release(std::uint32_t index) {
  --in_use_;
  touched_free_.push(index);
}

std::uint32_t SlabPool::FreeList::pop() {
  const std::uint32_t index = items_.back();
  items_.pop_back();
  if (head_ == items_.size()) {
    items_.clear();
    head_ = 0;
  }
  return index;
}

void SlabPool::FreeList::pop_front() {
  ++head_;
  // Amortised: the vector is shifted once its dead half outweighs the living one.
  if (head_ * 2 > items_.size()) {
    items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

}  // namespace culvert
