// OpenSSL's certificate callback, which asks the context's PeerVerifier and keeps its Error with the
// connection.
#pragma once

#include <openssl/ssl.h>

#include <optional>

#include "tunnel-core/base/error.hpp"

namespace culvert {

/// For SSL_CTX_set_cert_verify_callback; `verifier` is a PeerVerifier*.
int judge_peer_certificate(X509_STORE_CTX* store_context, void* verifier);

/// Where the verifier's Error of this connection goes. `slot` outlives the SSL's last handshake call.
void keep_verification_error_in(SSL* ssl, std::optional<Error>* slot);

}  // namespace culvert
