// Memory for a SlabPool that lives as long as a test.
#pragma once

#include <memory>
#include <new>

#include "tunnel-core/base/slab.hpp"

namespace culvert {

class SlabRegion {
 public:
  explicit SlabRegion(std::size_t slabs)
      : size_(slabs * kSlabSize),
        bytes_(static_cast<std::byte*>(::operator new[](size_, std::align_val_t{kSlabSize}))) {}

  MutableByteSpan span() const { return {bytes_.get(), size_}; }

 private:
  struct AlignedDelete {
    void operator()(std::byte* bytes) const { ::operator delete[](bytes, std::align_val_t{kSlabSize}); }
  };

  std::size_t size_;
  std::unique_ptr<std::byte[], AlignedDelete> bytes_;
};

}  // namespace culvert
