// Base64 of RFC 4648 §5: '-' and '_', no padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tunnel-core/base/bytes.hpp"

namespace culvert::certs {

std::string base64url_encode(ByteSpan bytes);

/// Nothing for foreign characters, an impossible length, or bits beyond the last byte that are not zero: one
/// sequence of bytes has exactly one text, so that no typing mistake goes unseen.
std::optional<Bytes> base64url_decode(std::string_view text);

}  // namespace culvert::certs
