// The end of the site's certificate, announced while there is time to do something.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "certs/utc_time.hpp"

namespace culvert {

/// Nothing renews a site's certificate: this long before its end the agent's log and doctor say so.
constexpr certs::Lifetime kCertificateWarning = certs::days(14);

/// "ends in 3 days", "ends within a day". @param now  before `not_after`.
std::string ends_text(certs::UtcTime not_after, certs::UtcTime now);

/// One line a day. Reads no clock, so it may be asked as often as is convenient.
class CertificateWatch {
 public:
  /// @param file       of the certificate, for the words.
  /// @param not_after  of the certificate.
  CertificateWatch(std::string file, certs::UtcTime not_after)
      : file_(std::move(file)), not_after_(not_after) {}

  /// A warning for the log when less than kCertificateWarning is left and none was given for a day; else
  /// nothing. Nothing after the end either: OwnCertificate::check() has the words for that.
  std::optional<std::string> poll(certs::UtcTime now);

 private:
  std::string file_;
  certs::UtcTime not_after_;
  std::optional<certs::UtcTime> said_;
};

}  // namespace culvert
