#include "tunnel-core/net/tls_verification.hpp"

#include <openssl/x509_vfy.h>

#include "tunnel-core/base/assert.hpp"
#include "tunnel-core/net/tls_context.hpp"

namespace culvert {
namespace {

int error_slot_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

/// OpenSSL derives the alert that the peer sees from this number.
int verify_code_of(Errc code) {
  switch (code) {
    case Errc::TlsExpired:
      return X509_V_ERR_CERT_HAS_EXPIRED;
    case Errc::TlsNotYetValid:
      return X509_V_ERR_CERT_NOT_YET_VALID;
    case Errc::TlsUntrusted:
      return X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
    case Errc::AccessRevoked:
      return X509_V_ERR_CERT_REVOKED;
    default:
      return X509_V_ERR_CERT_REJECTED;
  }
}

}  // namespace

int judge_peer_certificate(X509_STORE_CTX* store_context, void* verifier) {
  const auto& verify = *static_cast<const PeerVerifier*>(verifier);
  Result<void> verdict =
      verify(X509_STORE_CTX_get0_cert(store_context), X509_STORE_CTX_get0_untrusted(store_context));
  if (verdict) {
    X509_STORE_CTX_set_error(store_context, X509_V_OK);
    return 1;
  }
  X509_STORE_CTX_set_error(store_context, verify_code_of(verdict.error().code()));
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(store_context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* slot = static_cast<std::optional<Error>*>(SSL_get_ex_data(ssl, error_slot_index()));
  if (slot != nullptr) *slot = std::move(verdict).error();
  return 0;
}

void keep_verification_error_in(SSL* ssl, std::optional<Error>* slot) {
  TUNNEL_ASSERT(SSL_set_ex_data(ssl, error_slot_index(), slot) == 1);
}

}  // namespace culvert
