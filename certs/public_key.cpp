#include "certs/public_key.hpp"

#include <openssl/core_names.h>

#include <string>

#include "certs/openssl_support.hpp"

namespace culvert::certs {

namespace {

bool is_named_p256(EVP_PKEY* key) {
  char group[64] = {};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key, group, sizeof group, &size) != 1) return false;
  // Explicit curve parameters can imitate P-256 with another generator (CVE-2020-0601).
  int from_explicit = 0;
  EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &from_explicit);
  return std::string_view{group, size} == "prime256v1" && from_explicit == 0;
}

}  // namespace

Result<PublicKey> PublicKey::share(EVP_PKEY* key) {
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || !is_named_p256(key)) {
    openssl_reason();  // Leaves no old error behind in the queue.
    return Error{Errc::KeyInvalid,
                 "the key is not an elliptic-curve key on P-256; make one with "
                 "'openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256'"};
  }
  EVP_PKEY_up_ref(key);
  return PublicKey{std::shared_ptr<EVP_PKEY>{key, EVP_PKEY_free}};
}

Sha256 PublicKey::fingerprint() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key_.get(), &der);
  TUNNEL_ASSERT(size > 0);
  const Sha256 digest = sha256(std::as_bytes(std::span{der, static_cast<std::size_t>(size)}));
  OPENSSL_free(der);
  return digest;
}

}  // namespace culvert::certs
