#include "cloud-gateway/public_url.hpp"

#include <catch2/catch.hpp>

#include "certs/joining_string.hpp"
#include "certs/utc_time.hpp"

namespace culvert {

TEST_CASE("PublicUrl: host and port are read, and a joining string takes it", "[config]") {
  const auto [text, host, port] =
      GENERATE(table<std::string, std::string, int>({{"https://gw.example.net", "gw.example.net", 443},
                                                     {"https://GW:8443", "GW", 8443},
                                                     {"https://192.0.2.7:1", "192.0.2.7", 1},
                                                     {"https://[2001:db8::7]", "2001:db8::7", 443},
                                                     {"https://[::1]:65535", "::1", 65535}}));
  const auto url = PublicUrl::parse(text);
  REQUIRE(url);
  CHECK(url->host == host);
  CHECK(url->port == port);

  certs::JoiningString joining;
  joining.gateway_url = text;
  joining.org = "acme";
  joining.site = "tokyo";
  joining.expires_at = certs::utc_now();
  CHECK(joining.encode());
}

TEST_CASE("PublicUrl: anything else is refused with the form it should have", "[config]") {
  const std::string text = GENERATE(
      "", "gw", "http://gw", "HTTPS://gw", "https://", "https://gw:0", "https://gw:65536", "https://gw:99999",
      "https://gw:", "https://gw:44x", "https://gw:-1", "https://gw:000443", "https://gw/", "https://gw/path",
      "https://gw?a", "https://gw#a", "https://u@gw", "https://[::1", "https://[gw]", "https://[192.0.2.7]",
      "https://[::1]x", "https://2001:db8::7", "https://g w", "https://gw_1", "https://-gw", "https://gw\n");
  const auto url = PublicUrl::parse(text);
  INFO(text);
  REQUIRE_FALSE(url);
  CHECK(url.error().code() == Errc::UsageInvalid);
  CHECK_THAT(url.error().message(), Catch::Contains("; write it as https://HOST"));
}

TEST_CASE("PublicUrl: a password in it is not repeated", "[config]") {
  const auto url = PublicUrl::parse("https://provider:secret@gw.example.net");
  REQUIRE_FALSE(url);
  CHECK_THAT(url.error().message(), Catch::StartsWith("has a user name") && !Catch::Contains("secret"));
}

}  // namespace culvert
