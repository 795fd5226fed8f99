#include "tunnel-core/base/byte_cursor.hpp"

namespace culvert {

ByteSpan Reader::take(std::size_t n) {
  if (failed_ || n > bytes_.size()) {
    failed_ = true;
    bytes_ = {};
    return {};
  }
  const ByteSpan taken = bytes_.first(n);
  bytes_ = bytes_.subspan(n);
  return taken;
}

std::uint64_t Reader::number(std::size_t size) {
  std::uint64_t v = 0;
  for (const std::byte b : take(size)) v = v << 8 | std::to_integer<std::uint64_t>(b);
  return v;
}

void Writer::put(ByteSpan bytes) {
  if (failed_ || bytes.size() > bytes_.size() - written_) {
    failed_ = true;
    return;
  }
  if (!bytes.empty()) std::memcpy(bytes_.data() + written_, bytes.data(), bytes.size());
  written_ += bytes.size();
}

void Writer::number(std::uint64_t v, std::size_t size) {
  if (failed_ || size > bytes_.size() - written_) {
    failed_ = true;
    return;
  }
  for (std::size_t i = 0; i < size; ++i) {
    bytes_[written_ + i] = static_cast<std::byte>(v >> (8 * (size - 1 - i)));
  }
  written_ += size;
}

}  // namespace culvert
