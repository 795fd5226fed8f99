// Any cut of bytes -> whole frames. The fast path (a record that holds whole frames) copies nothing.
#pragma once

#include <algorithm>

#include "tunnel-core/base/slab.hpp"
#include "tunnel-core/wire/frame.hpp"

namespace culvert {

class FrameSplitter {
 public:
  explicit FrameSplitter(SlabPool& pool) : pool_(&pool) {}

  /// Calls `handle(const Frame&, const SlabRef&)` for each frame that is complete; the payload lies in that
  /// slab.
  /// @param  bytes  lie in `slab`. A frame cut at their end is kept in a slab of the splitter's own.
  /// @error  what decode_header or `handle` reported; MemoryLimitReached when no slab is left for a cut
  /// frame.
  template <class Handle>
  Result<void> split(const SlabRef& slab, ByteSpan bytes, Handle&& handle) {
    while (!bytes.empty()) {
      if (kept_ > 0 || bytes.size() < kFrameHeaderSize) {
        auto completed = complete_kept(bytes, handle);
        if (!completed) return completed;
        continue;
      }
      auto header = decode_header(bytes.data());
      if (!header) return std::move(header).error();
      const std::size_t size = kFrameHeaderSize + header->length;
      if (bytes.size() < size) return keep(bytes, bytes.size());
      auto handled = handle(Frame{*header, bytes.subspan(kFrameHeaderSize, header->length)}, slab);
      if (!handled) return handled;
      bytes = bytes.subspan(size);
    }
    return {};
  }

 private:
  Result<void> keep(ByteSpan& bytes, std::size_t n) {
    if (!partial_) partial_ = pool_->allocate();
    if (!partial_)
      return Error{Errc::MemoryLimitReached, "no memory is left for a frame that arrived in parts"};
    std::memcpy(partial_.data() + kept_, bytes.data(), n);
    kept_ += n;
    bytes = bytes.subspan(n);
    return {};
  }

  template <class Handle>
  Result<void> complete_kept(ByteSpan& bytes, Handle& handle) {
    if (kept_ < kFrameHeaderSize) {
      auto kept = keep(bytes, std::min(kFrameHeaderSize - kept_, bytes.size()));
      if (!kept || kept_ < kFrameHeaderSize) return kept;
    }
    // The header is complete now; a bad one is refused before its payload is waited for.
    auto header = decode_header(partial_.data());
    if (!header) return std::move(header).error();
    const std::size_t size = kFrameHeaderSize + header->length;
    auto kept = keep(bytes, std::min(size - kept_, bytes.size()));
    if (!kept || kept_ < size) return kept;
    kept_ = 0;
    const SlabRef whole = std::move(partial_);
    return handle(Frame{*header, {whole.data() + kFrameHeaderSize, header->length}}, whole);
  }

  SlabPool* pool_;
  SlabRef partial_;
  std::size_t kept_ = 0;  ///< Bytes of an incomplete frame in partial_.
};

}  // namespace culvert
