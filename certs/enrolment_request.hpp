// The certificate signing request an agent sends when it joins: proof that it holds a key, and nothing more.
// Who the site is comes from the joining string's secret, never from the request.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "certs/private_key.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::certs {

class EnrolmentRequest {
 public:
  /// Subject `CN=agent`, signed with `key`.
  /// @error KeyInvalid when OpenSSL fails.
  static Result<EnrolmentRequest> make(const PrivateKey& key);

  /// Reads and proves it: P-256, signed by the very key it holds. Anything it asks for (subject, extensions)
  /// is ignored by Authority.
  /// @param pem  at most kMaxPemSize bytes, from an unknown peer.
  /// @error CertificateInvalid (unreadable, too large, wrong signature), KeyInvalid (not P-256).
  static Result<EnrolmentRequest> from_pem(std::string_view pem);

  static constexpr std::size_t kMaxPemSize = 8192;

  const std::string& pem() const { return pem_; }
  const PublicKey& public_key() const { return key_; }
  /// SHA-256 of the SubjectPublicKeyInfo: what makes a repeated enrolment recognisable.
  Sha256 key_fingerprint() const { return key_.fingerprint(); }

 private:
  EnrolmentRequest(std::string pem, PublicKey key) : pem_(std::move(pem)), key_(std::move(key)) {}

  std::string pem_;
  PublicKey key_;
};

}  // namespace culvert::certs
