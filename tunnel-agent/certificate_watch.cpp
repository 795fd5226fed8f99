#include "tunnel-agent/certificate_watch.hpp"

#include <fmt/format.h>

#include "tunnel-agent/config.hpp"

namespace culvert {

std::string ends_text(certs::UtcTime not_after, certs::UtcTime now) {
  const auto days = std::chrono::duration_cast<std::chrono::hours>(not_after - now).count() / 24;
  return days == 0 ? std::string{"ends within a day"}
                   : fmt::format("ends in {} day{}", days, days == 1 ? "" : "s");
}

std::optional<std::string> CertificateWatch::poll(certs::UtcTime now) {
  if (now > not_after_ || not_after_ - now >= kCertificateWarning) return {};
  // A clock that was set back must not silence the days until it is there again.
  if (said_ && now >= *said_ && now - *said_ < certs::days(1)) return {};
  said_ = now;
  return fmt::format("the site's certificate {} {}, at {}, and nothing renews it by itself; {}", file_,
                     ends_text(not_after_, now), certs::utc_text(not_after_), kJoinAgain);
}

}  // namespace culvert
