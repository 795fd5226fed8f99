// The memory behind every SlabPool: one memfd, mapped once, pages appear when touched and go back when
// released.
#pragma once

#include <cstddef>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert {

/// Outlives every view it gave. take() before the threads start; release() from any thread, for its own
/// slabs.
class SlabArena {
 public:
  /// Address space for `bytes`, rounded up to whole slabs; no memory yet.
  /// @error MemoryLimitReached: the system does not give so much address space.
  static Result<SlabArena> create(std::size_t bytes);

  SlabArena(SlabArena&& other) noexcept;
  SlabArena& operator=(SlabArena&&) = delete;
  ~SlabArena();

  std::size_t size() const { return size_; }

  /// The next `bytes` (rounded up to whole slabs) of the arena, for one thread's SlabPool.
  /// @error MemoryLimitReached: not so much is left.
  Result<MutableByteSpan> take(std::size_t bytes);

  /// Gives the memory of one slab (kSlabSize bytes) back to the system; it reads as zero when used again.
  void release(std::byte* slab);

  /// The memory file, which another process could map. Valid as long as the arena.
  int fd() const { return fd_.value(); }

 private:
  SlabArena(UniqueFd fd, std::byte* base, std::size_t size) : fd_(std::move(fd)), base_(base), size_(size) {}

  UniqueFd fd_;
  std::byte* base_;
  std::size_t size_;
  std::size_t taken_ = 0;
};

}  // namespace culvert
