#include "tunnel-core/net/slab_arena.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "tunnel-core/base/slab.hpp"

namespace culvert {
namespace {

std::size_t whole_slabs(std::size_t bytes) {
  return (bytes + kSlabSize - 1) / kSlabSize * kSlabSize;
}

Error out_of_memory(std::size_t bytes, int system_errno) {
  return {Errc::MemoryLimitReached,
          "cannot reserve " + std::to_string(bytes >> 20) + " MiB for stream data: " +
              std::generic_category().message(system_errno) + "; lower process_memory in [limits]"};
}

}  // namespace

Result<SlabArena> SlabArena::create(std::size_t bytes) {
  const std::size_t size = whole_slabs(bytes);
  UniqueFd fd{::memfd_create("culvert-slabs", MFD_CLOEXEC)};
  if (!fd || ::ftruncate(fd.value(), static_cast<off_t>(size)) != 0) return out_of_memory(size, errno);
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.value(), 0);
  if (base == MAP_FAILED) return out_of_memory(size, errno);
  return SlabArena{std::move(fd), static_cast<std::byte*>(base), size};
}

SlabArena::SlabArena(SlabArena&& other) noexcept
    : fd_(std::move(other.fd_)),
      base_(std::exchange(other.base_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      taken_(other.taken_) {}

SlabArena::~SlabArena() {
  if (base_ != nullptr) ::munmap(base_, size_);
}

Result<MutableByteSpan> SlabArena::take(std::size_t bytes) {
  if (bytes > size_ || whole_slabs(bytes) > size_ - taken_) {
    return Error{Errc::MemoryLimitReached, "the memory for stream data is divided up already"};
  }
  const MutableByteSpan region{base_ + taken_, whole_slabs(bytes)};
  taken_ += region.size();
  return region;
}

// MADV_REMOVE and not MADV_DONTNEED: the pages of a shared mapping stay in the memory file otherwise.
void SlabArena::release(std::byte* slab) {
  ::madvise(slab, kSlabSize, MADV_REMOVE);
}

}  // namespace culvert
