#include "tunnel-core/wire/open_info.hpp"

#include <algorithm>

#include "tunnel-core/wire/tlv.hpp"

namespace culvert {
namespace {

constexpr std::uint16_t kTarget = 1;
constexpr std::uint16_t kSource = 2;
constexpr std::uint16_t kWeight = 3;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

/// The source's address goes into logs: printable and without blanks, or a peer could forge lines.
bool is_address_text(std::string_view text) {
  return text.size() <= 64 && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

Bytes encode_open(const OpenInfo& info) {
  Bytes out;
  append_tlv(out, kTarget, as_bytes(info.target));
  if (!info.source.empty()) append_tlv(out, kSource, as_bytes(info.source));
  if (info.weight != kDefaultWeight) {
    const std::byte weight{info.weight};
    append_tlv(out, kWeight, {&weight, 1});
  }
  return out;
}

Result<OpenInfo> decode_open(ByteSpan payload) {
  const auto list = TlvList::decode(payload);
  if (!list) return list.error();
  OpenInfo info;
  const auto target = list->find(kTarget);
  if (!target || !is_name(as_text(*target))) return Error{Errc::FrameMalformed, "OPEN names no valid target"};
  info.target = as_text(*target);
  if (const auto source = list->find(kSource)) {
    if (!is_address_text(as_text(*source)))
      return Error{Errc::FrameMalformed, "OPEN has an invalid source address"};
    info.source = as_text(*source);
  }
  if (const auto weight = list->find(kWeight)) {
    if (weight->size() != 1 || (*weight)[0] < std::byte{kLeastWeight} ||
        (*weight)[0] > std::byte{kMostWeight}) {
      return Error{Errc::FrameMalformed, "OPEN has a weight outside 1 to 16"};
    }
    info.weight = std::to_integer<std::uint8_t>((*weight)[0]);
  }
  return info;
}

}  // namespace culvert
