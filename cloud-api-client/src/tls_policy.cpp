#include "cloud-api-client/src/tls_policy.hpp"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <array>
#include <vector>

#include "certs/site_proof.hpp"
#include "tunnel-core/base/assert.hpp"

namespace culvert::cloud_api {

namespace {

constexpr unsigned char kAlpnSite[] = {9, 'c', 'u', 'l', 'v', 'e', 'r', 't', '/', '1'};
constexpr unsigned char kAlpnAnonymous[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// The alerts by which a server says that it does not take our certificate.
bool refuses_certificate(int alert) {
  switch (alert) {
    case SSL3_AD_BAD_CERTIFICATE:
    case SSL3_AD_UNSUPPORTED_CERTIFICATE:
    case SSL3_AD_CERTIFICATE_REVOKED:
    case SSL3_AD_CERTIFICATE_EXPIRED:
    case SSL3_AD_CERTIFICATE_UNKNOWN:
    case TLS1_AD_UNKNOWN_CA:
    case TLS1_AD_ACCESS_DENIED:
    case TLS13_AD_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

// Which alert OpenSSL sends to the server along with our verdict.
int store_error(Errc code) {
  switch (code) {
    case Errc::TlsExpired:
      return X509_V_ERR_CERT_HAS_EXPIRED;
    case Errc::TlsNotYetValid:
      return X509_V_ERR_CERT_NOT_YET_VALID;
    case Errc::TlsWrongName:
      return X509_V_ERR_HOSTNAME_MISMATCH;
    case Errc::TlsThumbprintMismatch:
      return X509_V_ERR_CERT_UNTRUSTED;
    default:
      return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
  }
}

bool speaks_tunnel(const SSL* ssl) {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &name, &size);
  return size + 1 == sizeof kAlpnSite && std::equal(name, name + size, kAlpnSite + 1);
}

std::vector<certs::Certificate> presented_chain(X509_STORE_CTX* store) {
  std::vector<certs::Certificate> chain;
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  if (leaf != nullptr) chain.push_back(certs::Certificate::share(leaf));
  STACK_OF(X509)* others = X509_STORE_CTX_get0_untrusted(store);
  for (int i = 0; i < sk_X509_num(others); ++i) {
    X509* other = sk_X509_value(others, i);
    if (other != leaf) chain.push_back(certs::Certificate::share(other));
  }
  return chain;
}

}  // namespace

void TlsWitness::handshake_began() {
  const std::lock_guard lock{mutex_};
  began_ = true;
}

void TlsWitness::handshake_ended(bool agreed) {
  const std::lock_guard lock{mutex_};
  ended_ = true;
  agreed_ = agreed;
}

void TlsWitness::server_refused(Error verdict) {
  const std::lock_guard lock{mutex_};
  verdict_ = std::move(verdict);
}

void TlsWitness::alert_received(int description) {
  const std::lock_guard lock{mutex_};
  if (description != SSL3_AD_CLOSE_NOTIFY && description != TLS1_AD_USER_CANCELLED) alert_ = description;
}

bool TlsWitness::in_handshake() const {
  const std::lock_guard lock{mutex_};
  return began_ && !ended_;
}

bool TlsWitness::agreed() const {
  const std::lock_guard lock{mutex_};
  return agreed_;
}

std::optional<Error> TlsWitness::error() const {
  const std::lock_guard lock{mutex_};
  if (verdict_) return verdict_;
  if (alert_ == 0) return std::nullopt;
  const std::string said = SSL_alert_desc_string_long(alert_);
  if (refuses_certificate(alert_)) {
    return Error{Errc::Unauthorized,
                 "the gateway does not accept this site's certificate (" + said +
                     "); check this machine's clock, or join again with a new joining string"};
  }
  return Error{Errc::TlsFailed,
               "the gateway ended the TLS handshake (" + said +
                   "); check that the URL is that of a Culvert gateway, which speaks TLS 1.3"};
}

// Hangs on the SSL_CTX and goes with it: a connection that was given up may still run its callbacks.
struct TlsPolicy::Attached {
  std::shared_ptr<const Shared> shared;
  std::shared_ptr<TlsWitness> witness;
  bool needs_tunnel = false;  ///< Only `culvert/1` will do.
};

Result<TlsPolicy> TlsPolicy::create(std::string host, certs::Trust trust,
                                    const std::optional<ClientIdentity>& identity) {
  auto shared = std::make_shared<Shared>();
  shared->host = std::move(host);
  shared->trust = std::move(trust);
  if (identity) {
    auto key = certs::PrivateKey::from_pem(identity->key_pem);
    if (!key) return std::move(key).error().at("read the site's key");
    auto chain = certs::chain_from_pem(identity->certificate_pem);
    if (!chain) return std::move(chain).error().at("read the site's certificate");
    if (!chain->front().matches(*key)) {
      return Error{Errc::KeyInvalid, "the site's key and certificate do not belong together; join again"};
    }
    shared->identity = certs::KeyAndChain{std::move(*key), std::move(*chain)};
  }
  return TlsPolicy{std::move(shared)};
}

int TlsPolicy::attachment_index() {
  static const int index = SSL_CTX_get_ex_new_index(
      0, nullptr, nullptr, nullptr, [](void*, void* pointer, CRYPTO_EX_DATA*, int, long, void*) {
        delete static_cast<Attached*>(pointer);
      });
  return index;
}

void TlsPolicy::apply(SSL_CTX* context, const std::shared_ptr<TlsWitness>& witness) const {
  auto* attached = new Attached{shared_, witness, shared_->identity.has_value() && !by_proof_};
  const bool ours = SSL_CTX_set_ex_data(context, attachment_index(), attached) == 1;
  TUNNEL_ASSERT(ours);
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_cert_verify_callback(context, &TlsPolicy::verify, attached);
  SSL_CTX_set_info_callback(context, &TlsPolicy::observe);
  if (attached->needs_tunnel) {
    SSL_CTX_set_alpn_protos(context, kAlpnSite, sizeof kAlpnSite);
    const auto& chain = shared_->identity->chain;
    SSL_CTX_use_certificate(context, chain.front().native());
    for (std::size_t i = 1; i < chain.size(); ++i) SSL_CTX_add1_chain_cert(context, chain[i].native());
    SSL_CTX_use_PrivateKey(context, shared_->identity->key.native());
  } else {
    SSL_CTX_set_alpn_protos(context, kAlpnAnonymous, sizeof kAlpnAnonymous);
  }
}

TlsPolicy TlsPolicy::by_proof() const {
  TlsPolicy other = *this;
  other.by_proof_ = shared_->identity.has_value();
  return other;
}

std::string TlsPolicy::site_proof(SSL* ssl) const {
  if (!by_proof_) return {};
  std::array<std::byte, 32> exporter{};
  const auto label = certs::kSiteProofExporter;
  const int done = SSL_export_keying_material(ssl, reinterpret_cast<unsigned char*>(exporter.data()),
                                              exporter.size(), label.data(), label.size(), nullptr, 0, 0);
  TUNNEL_ASSERT(done == 1);
  return certs::make_site_proof(shared_->identity->key, shared_->identity->chain, exporter);
}

int TlsPolicy::verify(X509_STORE_CTX* store, void* argument) {
  const auto* attached = static_cast<const Attached*>(argument);
  const auto chain = presented_chain(store);
  auto verdict =
      certs::verify_server(chain, attached->shared->trust, attached->shared->host, certs::utc_now());
  if (verdict) return 1;
  X509_STORE_CTX_set_error(store, store_error(verdict.error().code()));
  attached->witness->server_refused(std::move(verdict).error());
  return 0;
}

void TlsPolicy::observe(const SSL* ssl, int where, int value) {
  const auto* attached =
      static_cast<const Attached*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), attachment_index()));
  if ((where & SSL_CB_HANDSHAKE_START) != 0) attached->witness->handshake_began();
  if ((where & SSL_CB_HANDSHAKE_DONE) != 0) {
    attached->witness->handshake_ended(!attached->needs_tunnel || speaks_tunnel(ssl));
  }
  if (where == SSL_CB_READ_ALERT) attached->witness->alert_received(value & 0xFF);
}

}  // namespace culvert::cloud_api
