// An X.509 certificate, read only.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "certs/digest.hpp"
#include "certs/private_key.hpp"
#include "certs/utc_time.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::certs {

/// What a certificate may stand for. Bytes outside printable ASCII become '?', so that a name can be printed.
struct AlternativeNames {
  std::vector<std::string> dns;
  std::vector<std::string> ip;  ///< As inet_ntop writes them.
  std::vector<std::string> uri;

  bool empty() const { return dns.empty() && ip.empty() && uri.empty(); }
  std::string to_text() const;  ///< `gw.example.net, 192.0.2.7`, or `no name at all`.
};

/// A cheap value: copies share one immutable X509.
class Certificate {
 public:
  /// Exactly the first certificate of `pem`.
  /// @error CertificateInvalid.
  static Result<Certificate> from_pem(std::string_view pem);
  /// Takes a reference of its own; `certificate` (not null) stays the caller's. For TLS callbacks.
  static Certificate share(X509* certificate);

  std::string to_pem() const;
  std::string subject() const;  ///< One line, RFC 2253: `CN=tokyo,O=acme`. Control characters are escaped.
  std::string issuer() const;
  std::string serial() const;  ///< Lower-case hexadecimal: `4f01…`, 32 digits for all we issue.
  UtcTime not_before() const;
  UtcTime not_after() const;
  AlternativeNames names() const;
  Sha256 thumbprint() const;  ///< SHA-256 of the whole certificate; thumbprint_text() writes it.
  bool is_ca() const;
  bool is_self_signed() const;  ///< Subject, issuer and signature agree.
  bool allows_server() const;   ///< Extended key usage says serverAuth, explicitly.
  bool allows_client() const;   ///< Extended key usage says clientAuth, explicitly.
  bool matches(const PrivateKey& key) const;
  /// @error KeyInvalid when it is not P-256.
  Result<PublicKey> public_key() const;

  X509* native() const { return x509_.get(); }  ///< Stays ours.

  friend bool operator==(const Certificate& a, const Certificate& b) {
    return a.thumbprint() == b.thumbprint();
  }

 private:
  explicit Certificate(std::shared_ptr<X509> x509) : x509_(std::move(x509)) {}

  std::shared_ptr<X509> x509_;  // Shared by copies of this value; never changed.
};

constexpr std::size_t kMaxChainPemSize =
    1 << 20;  ///< Bytes; a certificate has about 800, a file of all public roots 220,000.

/// A file of one or more certificates, leaf first.
/// @error CertificateInvalid: none in it, too large, cut short, damaged, or something other than certificates
/// among them.
Result<std::vector<Certificate>> chain_from_pem(std::string_view pem);
std::string chain_to_pem(std::span<const Certificate> chain);

}  // namespace culvert::certs
