// Turns a joining secret and a signing request into a site's certificate.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "certs/authority.hpp"
#include "cloud-gateway/control/policy.hpp"
#include "cloud-gateway/store/store.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

/// What an agent gets for a valid joining string.
struct Enrolment {
  certs::SiteIdentity identity;
  std::string certificate_pem;  ///< The site's certificate, then the authority that issued it.
  std::string trust_pem;        ///< The root to pin.
  std::string gateway_url;
  WallTime expires_at;  ///< Of the certificate.
  bool repeated = false;
};

class Enroller {
 public:
  /// @param authority  of purpose Sites.
  Enroller(Store& store, PolicyHub& policy, certs::Authority authority, std::string gateway_url);

  /// The certificate is in force when this returns. Any thread; blocks on the store.
  /// @param secret_hex  32 bytes, as they came from the peer.
  /// @param from        the peer's address, for the audit log.
  /// @error UsageInvalid (the request is damaged), JoiningStringInvalid, JoiningStringExpired, those of
  /// Store.
  Result<Enrolment> enrol(std::string_view secret_hex, std::string_view csr_pem, const std::string& from,
                          WallTime now);

 private:
  Result<IssuedCertificate> issue(const certs::SiteIdentity& identity, const certs::PublicKey& key,
                                  WallTime now) const;

  Store& store_;
  PolicyHub& policy_;
  certs::Authority authority_;
  std::string gateway_url_;
};

}  // namespace culvert
