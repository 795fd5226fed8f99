#include "tunnel-agent/certificate_watch.hpp"

#include <catch2/catch.hpp>

using namespace culvert;

namespace {

constexpr certs::UtcTime kEnd{std::chrono::hours{24 * 20'000}};
constexpr certs::Lifetime kHour = std::chrono::hours{1};

}  // namespace

TEST_CASE("CertificateWatch: with 14 days left or more nothing is said, with less it is said at once",
          "[agent]") {
  CertificateWatch watch{"site.pem", kEnd};
  CHECK_FALSE(watch.poll(kEnd - certs::days(90)));
  CHECK_FALSE(watch.poll(kEnd - certs::days(14)));
  const auto warning = watch.poll(kEnd - certs::days(14) + kHour);
  REQUIRE(warning);
  CHECK_THAT(*warning, Catch::Contains("site.pem ends in 13 days, at " + certs::utc_text(kEnd)) &&
                           Catch::Contains("ask the provider for a new joining string and join again"));
}

TEST_CASE("CertificateWatch: a warning is given once a day, however often it is asked for", "[agent]") {
  CertificateWatch watch{"site.pem", kEnd};
  int warnings = 0;
  for (certs::UtcTime now = kEnd - certs::days(10); now < kEnd; now += kHour) {
    if (watch.poll(now)) ++warnings;
  }
  CHECK(warnings == 10);
}

TEST_CASE("CertificateWatch: the last day is named as such, and after the end nothing is said", "[agent]") {
  CertificateWatch watch{"site.pem", kEnd};
  const auto warning = watch.poll(kEnd - kHour);
  REQUIRE(warning);
  CHECK_THAT(*warning, Catch::Contains("ends within a day"));
  CHECK_FALSE(watch.poll(kEnd + certs::days(2)));
}

TEST_CASE("CertificateWatch: a clock that is set back does not silence it", "[agent]") {
  CertificateWatch watch{"site.pem", kEnd};
  REQUIRE(watch.poll(kEnd - certs::days(2)));
  CHECK(watch.poll(kEnd - certs::days(9)));
  CHECK_FALSE(watch.poll(kEnd - certs::days(9) + kHour));
}
