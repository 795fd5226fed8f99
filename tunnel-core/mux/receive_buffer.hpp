// Puts the bytes of one direction of one stream in order. No credit here: that is ReceiveHalf.
//
// A payload that fills its slab keeps it (no copy). Everything smaller is copied into pages addressed by
// offset: page k holds the bytes [k·16 KiB, (k+1)·16 KiB). A window of W bytes begins and ends
// anywhere in a page, so it touches less than W/16 KiB + 2 of them: no framing, however hostile, makes the
// buffer larger than its window and two slabs. Where kept slabs and pages together would pass that, the kept
// ones are copied into pages, each byte at most once.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/ring.hpp"
#include "tunnel-core/base/slab.hpp"

namespace culvert {

class ReceiveBuffer {
 public:
  explicit ReceiveBuffer(SlabPool& pool) : pool_(&pool) {}

  /// Takes the bytes that are new; the first copy of a byte is the one that counts.
  /// @param  bytes       lie in `slab`, which is kept if they fill it.
  /// @param  max_bytes   allocation allowed beside one slab: what is reserved for the stream.
  /// @error  MemoryLimitReached when the pool is used up.
  Result<void> insert(std::uint64_t offset, ByteSpan bytes, const SlabRef& slab, std::uint64_t max_bytes);

  std::uint64_t received() const { return received_; }  ///< Every byte below has arrived.
  std::uint64_t accepted() const { return accepted_; }  ///< Every byte below was consumed.
  std::size_t gaps() const { return gaps_; }            ///< Runs of bytes that wait for bytes before them.

  /// The next bytes to deliver, in order; returns how many spans were filled. Valid until consume() or
  /// insert().
  std::size_t readable(std::span<ByteSpan> out) const;
  /// The local kernel took n bytes.
  void consume(std::size_t n);

  std::size_t allocated_bytes() const { return (kept_ + pages_.size()) * kSlabSize; }
  /// Gives back what is only kept against the next allocation. For streams that were idle.
  void release_idle_storage();
  /// Drops everything. For streams that were reset.
  void clear();

 private:
  struct Piece {
    SlabRef slab;
    const std::byte* data;
    std::uint64_t offset;
    std::uint32_t length;
    bool kept;  ///< Owns a whole slab, rather than a part of a page.

    std::uint64_t end() const { return offset + length; }
    /// `next` continues this piece in the same page.
    bool runs_into(const Piece& next) const {
      return !kept && !next.kept && end() == next.offset && data + length == next.data;
    }
  };
  struct Page {
    std::uint64_t number;
    SlabRef slab;
  };

  Result<void> store(std::uint64_t offset, ByteSpan bytes, const SlabRef& slab);
  Result<void> copy_into_pages(std::uint64_t offset, ByteSpan bytes);
  void add(Piece piece);
  void add_ahead(Piece piece);
  void pull_ahead();
  Result<void> move_kept_into_pages();
  SlabRef* page(std::uint64_t number);
  void drop_passed_pages();

  SlabPool* pool_;
  std::uint64_t received_ = 0;
  std::uint64_t accepted_ = 0;
  Ring<Piece> ready_;                     ///< [accepted_, received_), in order.
  std::map<std::uint64_t, Piece> ahead_;  ///< Beyond received_, by offset, disjoint.
  std::vector<Page> pages_;               ///< Sorted by number; mostly none or one.
  std::size_t gaps_ = 0;                  ///< Pieces in ahead_ that do not begin where the one before ends.
  std::size_t kept_ = 0;                  ///< Pieces that own a slab.
  bool copy_all_ = false;                 ///< Until empty: keeping slabs would pass the bound.
};

}  // namespace culvert
