// A P-256 private key.
#pragma once

#include "certs/public_key.hpp"
#include "certs/secret_text.hpp"

namespace culvert::certs {

class PrivateKey {
 public:
  /// @error KeyInvalid when OpenSSL cannot make one (no entropy, no memory).
  static Result<PrivateKey> generate();

  /// @param pem  PKCS#8 or SEC1, unencrypted.
  /// @error KeyInvalid: no key in it, too large, cut short, encrypted, or not P-256.
  static Result<PrivateKey> from_pem(std::string_view pem);

  static constexpr std::size_t kMaxPemSize = 16384;

  SecretText to_pem() const;  ///< PKCS#8, unencrypted: goes into a 0600 file and nowhere else.

  const PublicKey& public_key() const { return key_; }
  EVP_PKEY* native() const { return key_.native(); }  ///< Stays ours.

 private:
  explicit PrivateKey(PublicKey key) : key_(std::move(key)) {}

  PublicKey key_;  // OpenSSL keeps both halves in one object.
};

}  // namespace culvert::certs
