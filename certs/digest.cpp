#include "certs/digest.hpp"

#include <openssl/sha.h>

#include <algorithm>

#include "tunnel-core/daemon/process.hpp"

namespace culvert::certs {

Sha256 sha256(ByteSpan bytes) {
  Sha256 digest{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string thumbprint_text(const Sha256& digest) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string text;
  for (const std::byte byte : digest) {
    if (!text.empty()) text += ':';
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

Result<Sha256> parse_thumbprint(std::string_view text) {
  const auto wrong = [&] {
    return Error{Errc::UsageInvalid,
                 "'" + std::string{text.substr(0, 100)} +
                     "' is not a SHA-256 thumbprint: write 32 pairs of hexadecimal digits, "
                     "AA:BB:… or AABB…"};
  };
  std::string digits{text};
  if (text.size() == 95) {
    for (std::size_t i = 2; i < text.size(); i += 3) {
      if (text[i] != ':') return wrong();
    }
    std::erase(digits, ':');
  }
  if (digits.size() != 64) return wrong();
  const Result<Bytes> bytes = from_hex(digits);
  if (!bytes || bytes->size() != 32) return wrong();
  Sha256 digest{};
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

}  // namespace culvert::certs
