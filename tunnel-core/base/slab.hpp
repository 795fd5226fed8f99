// Slabs: the fixed-size pieces of memory that all payload lives in. A pool belongs to one thread, so
// reference counts are plain integers. The region comes from outside (tunnel-core/net/slab_arena.hpp maps
// it).
#pragma once

#include <cstdint>
#include <vector>

#include "tunnel-core/base/bytes.hpp"

namespace culvert {

/// One slab holds exactly one whole frame: 16 bytes of header and up to 16,368 of payload.
constexpr std::size_t kSlabSize = 16384;

class SlabPool;

/// Shared ownership of one slab within one thread. The slab returns to its pool with the last reference.
class SlabRef {
 public:
  SlabRef() = default;
  SlabRef(const SlabRef& other);
  SlabRef(SlabRef&& other) noexcept : pool_(other.pool_), index_(other.index_) { other.pool_ = nullptr; }
  SlabRef& operator=(SlabRef other) noexcept;
  ~SlabRef();

  explicit operator bool() const { return pool_ != nullptr; }
  std::byte* data() const;
  bool unique() const;

 private:
  friend class SlabPool;
  SlabRef(SlabPool* pool, std::uint32_t index) : pool_(pool), index_(index) {}

  SlabPool* pool_ = nullptr;
  std::uint32_t index_ = 0;
};

class SlabPool {
 public:
  /// @param region  a multiple of kSlabSize bytes, page-aligned, zero or garbage; outlives the pool.
  explicit SlabPool(MutableByteSpan region);
  ~SlabPool();
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;

  /// The most recently freed slab (still in the cache), or an empty reference when the region is used up.
  SlabRef allocate();

  std::size_t in_use() const { return in_use_; }
  std::size_t in_use_bytes() const { return in_use_ * kSlabSize; }
  /// The most slabs in use since the last call.
  std::size_t take_peak() {
    const std::size_t peak = peak_;
    peak_ = in_use_;
    return peak;
  }

  /// Free slabs beyond `keep`, whose memory the caller may give back to the system. Each is reported once
  /// until it has been used again; `release(address)` is called for it.
  template <class Release>
  void trim(std::size_t keep, Release release) {
    while (touched_free_.size() > keep) {
      const std::uint32_t index = touched_free_.front_index();
      release(region_.data() + std::size_t{index} * kSlabSize);
      untouched_.push_back(index);
      touched_free_.pop_front();
    }
  }

 private:
  friend class SlabRef;

  /// A LIFO whose cold end can be trimmed.
  class FreeList {
   public:
    bool empty() const { return head_ == items_.size(); }
    std::size_t size() const { return items_.size() - head_; }
    void push(std::uint32_t index) { items_.push_back(index); }
    std::uint32_t pop();
    std::uint32_t front_index() const { return items_[head_]; }
    void pop_front();

   private:
    std::vector<std::uint32_t> items_;
    std::size_t head_ = 0;
  };

  void release(std::uint32_t index);

  MutableByteSpan region_;
  std::vector<std::uint32_t> counts_;     ///< References per slab ever used.
  FreeList touched_free_;                 ///< Memory is resident.
  std::vector<std::uint32_t> untouched_;  ///< Given back by trim().
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace culvert
