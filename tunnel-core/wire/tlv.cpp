#include "tunnel-core/wire/tlv.hpp"

#include "tunnel-core/base/byte_cursor.hpp"

namespace culvert {

Result<TlvList> TlvList::decode(ByteSpan bytes) {
  TlvList list;
  Reader in{bytes};
  while (!in.at_end()) {
    const std::uint16_t type = in.u16();
    const ByteSpan value = in.take(in.u16());
    if (in.failed()) return Error{Errc::FrameMalformed, "a TLV is cut off"};
    if (list.find(type)) return Error{Errc::FrameMalformed, "TLV " + std::to_string(type) + " occurs twice"};
    list.items_.push_back({type, value});
  }
  return list;
}

std::optional<ByteSpan> TlvList::find(std::uint16_t type) const {
  for (const Tlv& item : items_) {
    if (item.type == type) return item.value;
  }
  return std::nullopt;
}

void append_tlv(Bytes& out, std::uint16_t type, ByteSpan value) {
  std::byte head[4];
  Writer writer{head};
  writer.u16(type);
  writer.u16(static_cast<std::uint16_t>(value.size()));
  out.insert(out.end(), head, head + sizeof head);
  out.insert(out.end(), value.begin(), value.end());
}

}  // namespace culvert
