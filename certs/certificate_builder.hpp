// Fills in and signs one certificate. Used by Authority only, which has checked every value before.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "certs/certificate.hpp"
#include "certs/private_key.hpp"
#include "certs/utc_time.hpp"

namespace culvert::certs {

struct CertificateForm {
  std::vector<std::pair<const char*, std::string>> subject;  ///< {"CN", "tokyo"}, most general first.
  std::vector<std::pair<int, std::string>> extensions;  ///< NID and value in OpenSSL's configuration syntax.
  UtcTime not_before;
  UtcTime not_after;
};

/// @param issuer  null for a self-signed certificate.
/// @param signer  the issuer's key, or the subject's own.
/// @error CertificateInvalid with OpenSSL's reason.
Result<Certificate> build_certificate(const CertificateForm& form, const PublicKey& subject_key,
                                      const Certificate* issuer, const PrivateKey& signer);

}  // namespace culvert::certs
