// The one TLS policy of both ends: TLS 1.3 only, AES-128-GCM first, X25519 and P-256, no tickets, no early
// data. Who is trusted is decided by a PeerVerifier that the caller hands in; nothing here knows a CA.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/net/openssl_handles.hpp"

namespace culvert {

inline constexpr std::string_view kTunnelAlpn = "culvert/1";
inline constexpr std::string_view kHttpAlpn = "http/1.1";

/// Judges the peer's certificate. `chain` is everything the peer sent, leaf included, unverified; both are
/// valid during the call only. Runs on the thread that drives the handshake, so it must not block. Its Error
/// is what TlsStream::last_error() reports; Errc TlsExpired, TlsNotYetValid, TlsUntrusted and AccessRevoked
/// also choose the alert that the peer sees.
using PeerVerifier = std::function<Result<void>(X509* leaf, STACK_OF(X509) * chain)>;

struct TlsServerConfig {
  std::string certificate_chain_pem;  ///< Leaf first; every certificate in it is sent.
  std::string key_pem;                ///< Private key of the leaf, not encrypted.
  /// Asked only when the ClientHello offers `culvert/1`; such a client must have a certificate that passes.
  /// Empty: `culvert/1` is never selected.
  PeerVerifier verify_client;
};

struct TlsClientConfig {
  std::string certificate_chain_pem;  ///< Empty: no client certificate.
  std::string key_pem;
  std::string alpn;            ///< The one protocol offered; empty: none. `culvert/1` must be agreed on.
  PeerVerifier verify_server;  ///< Required. Checks name and trust: nothing else does.
};

/// A shared, immutable policy with identity. Copies are cheap; running streams keep theirs, so a new
/// certificate is put into force by using a new context for new streams. Safe to use from several threads.
class TlsContext {
 public:
  /// @error CertificateInvalid, KeyInvalid (unreadable, encrypted, or of another certificate), TlsFailed.
  static Result<TlsContext> server(const TlsServerConfig& config);
  /// @error as server().
  static Result<TlsContext> client(const TlsClientConfig& config);

  bool is_server() const;

 private:
  friend class TlsEngine;
  struct State;

  explicit TlsContext(std::shared_ptr<State> state) : state_(std::move(state)) {}

  /// A new SSL of this policy, or null when memory is out.
  SslPtr make_ssl() const;
  /// True when the peer must have agreed on `culvert/1` for a handshake of this context to count.
  bool requires_tunnel_alpn() const;

  std::shared_ptr<State> state_;  ///< Shared with every stream: OpenSSL's callbacks point into it.
};

}  // namespace culvert
