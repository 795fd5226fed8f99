// SHA-256 and how people write it: thumbprints as AA:BB:…, hashes in the store as lower-case hexadecimal.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::certs {

using Sha256 = std::array<std::byte, 32>;

Sha256 sha256(ByteSpan bytes);

/// `AA:BB:…`, as browsers, openssl and the incumbents print a certificate's SHA-256 fingerprint.
std::string thumbprint_text(const Sha256& digest);

/// Reads 64 hexadecimal digits of either case, with or without a colon after each pair.
/// @error UsageInvalid, which says what is wrong and how a thumbprint looks.
Result<Sha256> parse_thumbprint(std::string_view text);

}  // namespace culvert::certs
