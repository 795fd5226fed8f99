// A public key: what a certificate is issued for. P-256 only, because that is all we make and accept.
#pragma once

#include <openssl/types.h>

#include <memory>

#include "certs/digest.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::certs {

class PublicKey {
 public:
  /// Takes a reference of its own; `key` stays the caller's.
  /// @error KeyInvalid when it is anything but a point on the named curve P-256.
  static Result<PublicKey> share(EVP_PKEY* key);

  /// SHA-256 of the SubjectPublicKeyInfo: the same for a key, its request and all its certificates.
  Sha256 fingerprint() const;

  EVP_PKEY* native() const { return key_.get(); }  ///< Stays ours.

  friend bool operator==(const PublicKey& a, const PublicKey& b) {
    return a.fingerprint() == b.fingerprint();
  }

 private:
  explicit PublicKey(std::shared_ptr<EVP_PKEY> key) : key_(std::move(key)) {}

  std::shared_ptr<EVP_PKEY> key_;  // Shared by copies of this value; never changed.
};

}  // namespace culvert::certs
