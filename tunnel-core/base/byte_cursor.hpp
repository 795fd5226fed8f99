// Reader and Writer: bounds-checked, big-endian, with sticky failure. Read straight through, ask once at the
// end.
#pragma once

#include <cstdint>

#include "tunnel-core/base/bytes.hpp"

namespace culvert {

class Reader {
 public:
  explicit Reader(ByteSpan bytes) : bytes_(bytes) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  /// The next n bytes, empty after a failure. A view into the bytes given at construction.
  ByteSpan take(std::size_t n);
  ByteSpan rest() { return take(bytes_.size()); }

  bool at_end() const { return bytes_.empty(); }
  bool failed() const { return failed_; }

 private:
  std::uint64_t number(std::size_t size);

  ByteSpan bytes_;
  bool failed_ = false;
};

class Writer {
 public:
  explicit Writer(MutableByteSpan bytes) : bytes_(bytes) {}

  void u8(std::uint8_t v) { number(v, 1); }
  void u16(std::uint16_t v) { number(v, 2); }
  void u32(std::uint32_t v) { number(v, 4); }
  void u64(std::uint64_t v) { number(v, 8); }
  void put(ByteSpan bytes);

  std::size_t written() const { return written_; }
  bool failed() const { return failed_; }

 private:
  void number(std::uint64_t v, std::size_t size);

  MutableByteSpan bytes_;
  std::size_t written_ = 0;
  bool failed_ = false;
};

}  // namespace culvert
