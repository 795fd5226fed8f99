#include "certs/private_key.hpp"

#include <openssl/ec.h>
#include <openssl/pem.h>

#include "certs/openssl_support.hpp"

namespace culvert::certs {

Result<PrivateKey> PrivateKey::generate() {
  const EvpPkeyPtr key{EVP_EC_gen("P-256")};
  if (!key) return Error{Errc::KeyInvalid, "could not make a P-256 key: " + openssl_reason()};
  auto shared = PublicKey::share(key.get());
  if (!shared) return std::move(shared).error();
  return PrivateKey{std::move(*shared)};
}

namespace {

// Asked for when a key is encrypted; without it OpenSSL would prompt on the terminal.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

}  // namespace

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  if (pem.size() > kMaxPemSize) {
    return Error{Errc::KeyInvalid, std::to_string(pem.size()) +
                                       " bytes are too many for a private key; the most is " +
                                       std::to_string(kMaxPemSize)};
  }
  bool encrypted = false;
  const BioPtr bio = reading_bio(pem);
  const EvpPkeyPtr key{PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &encrypted)};
  if (!key) {
    const std::string reason = openssl_reason();
    if (encrypted) {
      return Error{Errc::KeyInvalid,
                   "the private key is protected by a passphrase; remove it with 'openssl pkey' and keep the "
                   "file at mode 0600"};
    }
    return Error{Errc::KeyInvalid, "no readable private key (" + reason +
                                       "); expected PEM beginning with -----BEGIN PRIVATE KEY-----"};
  }
  auto shared = PublicKey::share(key.get());
  if (!shared) return std::move(shared).error();
  return PrivateKey{std::move(*shared)};
}

SecretText PrivateKey::to_pem() const {
  const BioPtr bio = writing_bio();
  const int done =
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.native(), nullptr, nullptr, 0, nullptr, nullptr);
  TUNNEL_ASSERT(done == 1);
  return SecretText{written_text(bio.get())};
}

}  // namespace culvert::certs
