// Type-length-value lists, the part of the protocol that grows. Layout: docs/protocol.md §11.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

struct Tlv {
  std::uint16_t type;
  ByteSpan value;  ///< A view into the decoded bytes.
};

class TlvList {
 public:
  /// Keeps views into `bytes`. Unknown types are kept as well: who asks decides what it knows.
  /// @error FrameMalformed: cut off, or a type twice.
  static Result<TlvList> decode(ByteSpan bytes);

  std::optional<ByteSpan> find(std::uint16_t type) const;

 private:
  std::vector<Tlv> items_;
};

void append_tlv(Bytes& out, std::uint16_t type, ByteSpan value);

}  // namespace culvert
