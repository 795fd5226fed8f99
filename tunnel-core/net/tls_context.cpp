#include "tunnel-core/net/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <vector>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/net/tls_error.hpp"
#include "tunnel-core/net/tls_records.hpp"
#include "tunnel-core/net/tls_verification.hpp"

namespace culvert {

struct TlsContext::State {
  SslContextPtr ssl_context;
  PeerVerifier verify_peer;
  bool is_server = false;
  bool requires_tunnel_alpn = false;
};

namespace {

constexpr const char* kCipherSuites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kGroups = "X25519:P-256";

Error openssl_error(Errc code, std::string message) {
  const std::string reason = take_openssl_reason();
  if (!reason.empty()) message += ": " + reason;
  return {code, std::move(message)};
}

/// Never asks a terminal for a passphrase: an encrypted key simply fails to load.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

BioPtr memory_bio(const std::string& text) {
  return BioPtr{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

Result<std::vector<X509Ptr>> read_chain(const std::string& pem) {
  const BioPtr bio = memory_bio(pem);
  std::vector<X509Ptr> chain;
  ERR_clear_error();
  while (X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)}) {
    chain.push_back(std::move(certificate));
  }
  const unsigned long end = ERR_peek_last_error();
  const bool read_to_end = ERR_GET_LIB(end) == ERR_LIB_PEM && ERR_GET_REASON(end) == PEM_R_NO_START_LINE;
  if (!read_to_end) return openssl_error(Errc::CertificateInvalid, "the certificate chain cannot be read");
  ERR_clear_error();
  if (chain.empty()) return Error{Errc::CertificateInvalid, "the certificate file holds no PEM certificate"};
  return chain;
}

Result<void> use_identity(SSL_CTX* context, const std::string& chain_pem, const std::string& key_pem) {
  auto chain = read_chain(chain_pem);
  if (!chain) return std::move(chain).error();
  if (SSL_CTX_use_certificate(context, chain->front().get()) != 1) {
    return openssl_error(Errc::CertificateInvalid, "the certificate cannot be used for TLS");
  }
  for (std::size_t i = 1; i < chain->size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) != 1) {
      return openssl_error(Errc::CertificateInvalid, "a certificate of the chain cannot be used for TLS");
    }
  }
  const BioPtr bio = memory_bio(key_pem);
  const PkeyPtr key{PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr)};
  if (!key) {
    return openssl_error(Errc::KeyInvalid,
                         "the private key cannot be read (PEM without passphrase is needed)");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return openssl_error(Errc::KeyInvalid, "the private key does not belong to the certificate");
  }
  return {};
}

Result<SslContextPtr> make_context(const SSL_METHOD* method) {
  SslContextPtr context{SSL_CTX_new(method)};
  if (!context) return openssl_error(Errc::TlsFailed, "cannot set up TLS");
  SSL_CTX* raw = context.get();
  const bool ok = SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_ciphersuites(raw, kCipherSuites) == 1 &&
                  SSL_CTX_set1_groups_list(raw, kGroups) == 1 && SSL_CTX_set_num_tickets(raw, 0) == 1 &&
                  SSL_CTX_set_max_early_data(raw, 0) == 1;
  if (!ok) return openssl_error(Errc::TlsFailed, "this OpenSSL cannot be set to our TLS 1.3 policy");
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_keylog_callback(raw, note_traffic_secret);  // For the records of lanes; nothing is logged.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  return context;
}

/// The protocols of a ClientHello's ALPN extension or of a select callback: length-prefixed names.
bool offers(ByteSpan protocols, std::string_view wanted) {
  while (!protocols.empty()) {
    const std::size_t size = std::to_integer<std::size_t>(protocols.front());
    if (size == 0 || size >= protocols.size()) return false;
    if (as_text(protocols.subspan(1, size)) == wanted) return true;
    protocols = protocols.subspan(1 + size);
  }
  return false;
}

ByteSpan alpn_of_client_hello(SSL* ssl) {
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  constexpr unsigned kAlpn = TLSEXT_TYPE_application_layer_protocol_negotiation;
  if (SSL_client_hello_get0_ext(ssl, kAlpn, &data, &size) != 1 || size < 2) return {};
  return std::as_bytes(std::span{data, size}).subspan(2);  // After the two-byte length of the list.
}

/// Asks for a client certificate exactly when the client wants to speak the tunnel protocol: browsers are
/// never asked. A second ClientHello (after HelloRetryRequest) comes here again and decides anew.
int on_client_hello(SSL* ssl, int*, void*) {
  const bool tunnel = offers(alpn_of_client_hello(ssl), kTunnelAlpn);
  SSL_set_verify(ssl, tunnel ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, nullptr);
  return SSL_CLIENT_HELLO_SUCCESS;
}

int select_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                unsigned in_size, void* allow_tunnel) {
  const ByteSpan offered = std::as_bytes(std::span{in, in_size});
  std::string_view chosen;
  if (allow_tunnel != nullptr && offers(offered, kTunnelAlpn)) {
    // Never select the class of identity without having asked for the identity.
    if ((SSL_get_verify_mode(ssl) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) == 0) return SSL_TLSEXT_ERR_ALERT_FATAL;
    chosen = kTunnelAlpn;
  } else if (offers(offered, kHttpAlpn)) {
    chosen = kHttpAlpn;
  } else {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = reinterpret_cast<const unsigned char*>(chosen.data());
  *out_size = static_cast<unsigned char>(chosen.size());
  return SSL_TLSEXT_ERR_OK;
}

Result<void> offer_alpn(SSL_CTX* context, const std::string& alpn) {
  if (alpn.empty()) return {};
  if (alpn.size() > 255) return Error{Errc::TlsFailed, "an ALPN name has at most 255 bytes"};
  const std::string list = static_cast<char>(alpn.size()) + alpn;
  if (SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(list.data()),
                              static_cast<unsigned>(list.size())) != 0) {
    return openssl_error(Errc::TlsFailed, "cannot offer ALPN " + alpn);
  }
  return {};
}

}  // namespace

Result<TlsContext> TlsContext::server(const TlsServerConfig& config) {
  auto context = make_context(TLS_server_method());
  if (!context) return std::move(context).error();
  SSL_CTX* raw = context->get();
  if (auto used = use_identity(raw, config.certificate_chain_pem, config.key_pem); !used) {
    return std::move(used).error();
  }
  auto state = std::make_shared<State>();
  state->verify_peer = config.verify_client;
  state->is_server = true;
  if (state->verify_peer) {
    SSL_CTX_set_client_hello_cb(raw, on_client_hello, nullptr);
    SSL_CTX_set_cert_verify_callback(raw, judge_peer_certificate, &state->verify_peer);
  }
  SSL_CTX_set_alpn_select_cb(raw, select_alpn, state->verify_peer ? state.get() : nullptr);
  state->ssl_context = std::move(*context);
  return TlsContext{std::move(state)};
}

Result<TlsContext> TlsContext::client(const TlsClientConfig& config) {
  TUNNEL_ASSERT(config.verify_server != nullptr);
  auto context = make_context(TLS_client_method());
  if (!context) return std::move(context).error();
  SSL_CTX* raw = context->get();
  if (!config.certificate_chain_pem.empty()) {
    if (auto used = use_identity(raw, config.certificate_chain_pem, config.key_pem); !used) {
      return std::move(used).error();
    }
  }
  if (auto offered = offer_alpn(raw, config.alpn); !offered) return std::move(offered).error();
  auto state = std::make_shared<State>();
  state->verify_peer = config.verify_server;
  state->requires_tunnel_alpn = config.alpn == kTunnelAlpn;
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(raw, judge_peer_certificate, &state->verify_peer);
  state->ssl_context = std::move(*context);
  return TlsContext{std::move(state)};
}

bool TlsContext::is_server() const {
  return state_->is_server;
}

bool TlsContext::requires_tunnel_alpn() const {
  return state_->requires_tunnel_alpn;
}

SslPtr TlsContext::make_ssl() const {
  return SslPtr{SSL_new(state_->ssl_context.get())};
}

}  // namespace culvert
