#include "tunnel-core/net/traffic_key.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <string_view>

#include "tunnel-core/base/assert.hpp"

namespace culvert {
namespace {

using KdfPtr = std::unique_ptr<EVP_KDF, OpensslDeleter<EVP_KDF_free>>;
using KdfContextPtr = std::unique_ptr<EVP_KDF_CTX, OpensslDeleter<EVP_KDF_CTX_free>>;

unsigned char* raw(std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}
const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

OSSL_PARAM octets(const char* name, ByteSpan bytes) {
  // OSSL_PARAM has one type for what is read and what is written.
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::byte*>(bytes.data()), bytes.size());
}

/// HKDF-Expand-Label with an empty context.
bool expand_label(const char* digest, const TrafficSecret& secret, std::string_view label,
                  MutableByteSpan out) {
  static const KdfPtr kdf{EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_TLS1_3_KDF, nullptr)};
  if (!kdf) return false;
  const KdfContextPtr context{EVP_KDF_CTX_new(kdf.get())};
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(digest), 0),
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      octets(OSSL_KDF_PARAM_KEY, secret.bytes()),
      octets(OSSL_KDF_PARAM_PREFIX, as_bytes("tls13 ")),
      octets(OSSL_KDF_PARAM_LABEL, as_bytes(label)),
      OSSL_PARAM_construct_end()};
  return context && EVP_KDF_derive(context.get(), raw(out.data()), out.size(), params) == 1;
}

}  // namespace

TrafficSecret::TrafficSecret(ByteSpan bytes) : size_(bytes.size()) {
  TUNNEL_ASSERT(bytes.size() <= bytes_.size());
  std::ranges::copy(bytes, bytes_.begin());
}

TrafficSecret::~TrafficSecret() {
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

struct TrafficKey::Suite {
  const EVP_CIPHER* cipher;
  const char* digest;
  std::size_t key_size;
};

const TrafficKey::Suite* TrafficKey::suite_of(std::uint16_t number) {
  static const Suite aes_128{EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr), "SHA256", 16};
  static const Suite aes_256{EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr), "SHA384", 32};
  static const Suite chacha{EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr), "SHA256", 32};
  const Suite* suite = nullptr;
  if (number == 0x1301) suite = &aes_128;
  if (number == 0x1302) suite = &aes_256;
  if (number == 0x1303) suite = &chacha;
  return suite != nullptr && suite->cipher != nullptr ? suite : nullptr;
}

TrafficKey::TrafficKey(Use use, const Suite& suite, const TrafficSecret& secret)
    : use_(use), suite_(&suite), secret_(secret), cipher_(EVP_CIPHER_CTX_new()) {}

std::optional<TrafficKey> TrafficKey::create(Use use, std::uint16_t suite, const TrafficSecret& secret) {
  const Suite* const known = suite_of(suite);
  if (known == nullptr || secret.empty()) return std::nullopt;
  TrafficKey key{use, *known, secret};
  if (!key.cipher_ || !key.derive()) return std::nullopt;
  return key;
}

bool TrafficKey::derive() {
  std::array<std::byte, 32> key{};
  const MutableByteSpan key_bytes{key.data(), suite_->key_size};
  const bool done = expand_label(suite_->digest, secret_, "key", key_bytes) &&
                    expand_label(suite_->digest, secret_, "iv", iv_) &&
                    EVP_CipherInit_ex(cipher_.get(), suite_->cipher, nullptr, raw(key.data()), nullptr,
                                      use_ == Use::Seal ? 1 : 0) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  sequence_ = 0;
  return done;
}

bool TrafficKey::update() {
  std::array<std::byte, 48> next{};
  const std::size_t size = secret_.bytes().size();
  const bool expanded = expand_label(suite_->digest, secret_, "traffic upd", {next.data(), size});
  secret_ = TrafficSecret{ByteSpan{next.data(), size}};
  OPENSSL_cleanse(next.data(), next.size());
  return expanded && derive();
}

/// The nonce is the IV with the record's number in its last eight bytes; the header is authenticated.
bool TrafficKey::begin_record(ByteSpan header) {
  std::array<std::byte, 12> nonce = iv_;
  for (std::size_t i = 0; i < 8; ++i) {
    nonce[11 - i] ^= static_cast<std::byte>(sequence_ >> (8 * i));
  }
  ++sequence_;
  int n = 0;
  return EVP_CipherInit_ex(cipher_.get(), nullptr, nullptr, nullptr, raw(nonce.data()), -1) == 1 &&
         EVP_CipherUpdate(cipher_.get(), nullptr, &n, raw(header.data()), static_cast<int>(header.size())) ==
             1;
}

bool TrafficKey::seal(RecordType type, ByteSpan content, std::byte* out) {
  const std::size_t sealed = content.size() + 1 + kRecordTag;
  out[0] = static_cast<std::byte>(RecordType::ApplicationData);
  out[1] = out[2] = std::byte{3};  // The version that every record of TLS 1.3 shows.
  out[3] = static_cast<std::byte>(sealed >> 8);
  out[4] = static_cast<std::byte>(sealed);
  if (!begin_record({out, kRecordHeader})) return false;
  std::byte* const body = out + kRecordHeader;
  EVP_CIPHER_CTX* const cipher = cipher_.get();
  const auto inner_type = static_cast<unsigned char>(type);
  int n = 0;
  if (!content.empty() &&
      EVP_CipherUpdate(cipher, raw(body), &n, raw(content.data()), static_cast<int>(content.size())) != 1) {
    return false;
  }
  return EVP_CipherUpdate(cipher, raw(body + content.size()), &n, &inner_type, 1) == 1 &&
         EVP_CipherFinal_ex(cipher, raw(body + content.size() + 1), &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, kRecordTag, body + content.size() + 1) == 1;
}

std::optional<TrafficKey::Opened> TrafficKey::open(ByteSpan record, std::byte* out) {
  TUNNEL_ASSERT(record.size() >= kRecordOverhead);
  if (!begin_record(record.first(kRecordHeader))) return std::nullopt;
  const ByteSpan sealed = record.subspan(kRecordHeader, record.size() - kRecordOverhead);
  const std::byte* const last = sealed.data() + sealed.size();
  std::array<unsigned char, kRecordTag> tag{};
  std::copy_n(raw(last + 1), tag.size(), tag.begin());
  EVP_CIPHER_CTX* const cipher = cipher_.get();
  unsigned char type = 0;
  int n = 0;
  // The type comes by itself, so that the content of a full record fills the caller's buffer exactly.
  if (!sealed.empty() &&
      EVP_CipherUpdate(cipher, raw(out), &n, raw(sealed.data()), static_cast<int>(sealed.size())) != 1) {
    return std::nullopt;
  }
  if (EVP_CipherUpdate(cipher, &type, &n, raw(last), 1) != 1 ||
      EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, kRecordTag, tag.data()) != 1 ||
      EVP_CipherFinal_ex(cipher, &type + 1, &n) != 1) {
    return std::nullopt;
  }
  std::size_t size = sealed.size();
  while (type == 0 && size > 0) type = static_cast<unsigned char>(out[--size]);
  return Opened{static_cast<RecordType>(type), size};
}

}  // namespace culvert
