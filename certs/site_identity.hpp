// Who a site is: the one name in a site's certificate, `URI:culvert://org/acme/site/tokyo`.
#pragma once

#include <string>
#include <string_view>

#include "certs/certificate.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::certs {

struct SiteIdentity {
  std::string org;
  std::string site;

  std::string to_uri() const;  ///< `culvert://org/acme/site/tokyo`.
  /// @error CertificateInvalid when it is anything else, name rule included.
  static Result<SiteIdentity> from_uri(std::string_view uri);
  /// @error CertificateInvalid when the certificate has no such URI, or several.
  static Result<SiteIdentity> of(const Certificate& certificate);

  friend bool operator==(const SiteIdentity&, const SiteIdentity&) = default;
};

/// The rule for names of organizations, sites, targets: 1–63 of a–z, 0–9 and '-', not beginning with '-'.
/// @param what  for the message: "org", "site", "target".
/// @error UsageInvalid, which shows the name and the rule.
Result<void> check_name(std::string_view what, std::string_view name);

}  // namespace culvert::certs
