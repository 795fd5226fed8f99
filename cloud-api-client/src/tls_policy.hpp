// What our TLS is like towards a gateway, and what happened to it: TLS 1.3 only, the server judged by
// certs/verification, ALPN by whether we have an identity (docs/rest-api.md §1).
#pragma once

#include <openssl/types.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "certs/key_store.hpp"
#include "certs/verification.hpp"
#include "cloud-api-client/include/cloud_api/client.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::cloud_api {

/// What one TLS connection went through. Written by OpenSSL's callbacks on cpprest's threads.
class TlsWitness {
 public:
  void handshake_began();
  /// @param agreed  on the protocol that we asked for.
  void handshake_ended(bool agreed);
  void server_refused(Error verdict);
  void alert_received(int description);

  bool in_handshake() const;
  /// The handshake is done, and the protocol is the one we asked for.
  bool agreed() const;
  /// Our verdict on the server, or what its alert means for us; nothing when TLS has nothing to say.
  std::optional<Error> error() const;

 private:
  mutable std::mutex mutex_;
  bool began_ = false;
  bool ended_ = false;
  bool agreed_ = false;
  std::optional<Error> verdict_;
  int alert_ = 0;
};

class TlsPolicy {
 public:
  /// @error KeyInvalid, CertificateInvalid: an identity that cannot be used.
  static Result<TlsPolicy> create(std::string host, certs::Trust trust,
                                  const std::optional<ClientIdentity>& identity);

  /// Sets up a fresh context. The context keeps what its callbacks need; this object may go first.
  void apply(SSL_CTX* context, const std::shared_ptr<TlsWitness>& witness) const;

  bool has_identity() const { return shared_->identity.has_value(); }
  /// The same policy, but with the site's proof in place of its certificate, under ALPN `http/1.1`.
  TlsPolicy by_proof() const;
  bool is_by_proof() const { return by_proof_; }
  /// The value of Culvert-Site-Proof for this connection, whose handshake is done; empty unless by_proof().
  std::string site_proof(SSL* ssl) const;

 private:
  struct Shared {
    std::string host;
    certs::Trust trust;
    std::optional<certs::KeyAndChain> identity;
  };
  struct Attached;

  explicit TlsPolicy(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)) {}
  static int attachment_index();
  static int verify(X509_STORE_CTX* store, void* argument);
  static void observe(const SSL* ssl, int where, int value);

  std::shared_ptr<const Shared> shared_;  // Owned by this object and by contexts whose connections still run.
  bool by_proof_ = false;
};

}  // namespace culvert::cloud_api
