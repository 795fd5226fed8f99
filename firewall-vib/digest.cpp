#include "firewall-vib/digest.hpp"

#include <openssl/evp.h>

#include "tunnel-core/base/assert.hpp"
#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/daemon/process.hpp"

namespace culvert::firewall {

struct Digest::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(context); }
};

Digest::Digest(DigestKind kind) : impl_(std::make_unique<Impl>()) {
  const EVP_MD* const algorithm = kind == DigestKind::Sha1 ? EVP_sha1() : EVP_sha256();
  TUNNEL_ASSERT(impl_->context != nullptr && EVP_DigestInit_ex(impl_->context, algorithm, nullptr) == 1);
}

Digest::~Digest() = default;

void Digest::add(std::string_view bytes) {
  TUNNEL_ASSERT(EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()) == 1);
}

std::string Digest::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  TUNNEL_ASSERT(EVP_DigestFinal_ex(impl_->context, digest, &size) == 1);
  return to_hex(std::as_bytes(std::span{digest, size}));
}

std::string sha256_hex(std::string_view bytes) {
  Digest digest{DigestKind::Sha256};
  digest.add(bytes);
  return digest.hex();
}

std::uint64_t sha256_number(std::string_view bytes) {
  return std::stoull(sha256_hex(bytes).substr(0, 16), nullptr, 16);
}

}  // namespace culvert::firewall
