#include <catch2/catch.hpp>

#include "certs/site_identity.hpp"
#include "tests/unit/certs/test_world.hpp"

using namespace culvert;
using namespace culvert::certs;
using namespace culvert::certs::test;
using Catch::Contains;

TEST_CASE("A site's identity survives its URI and its certificate", "[certs][identity]") {
  CHECK(kTokyo.to_uri() == "culvert://org/acme/site/tokyo");
  CHECK(unwrap(SiteIdentity::from_uri(kTokyo.to_uri())) == kTokyo);
  CHECK(unwrap(SiteIdentity::of(World{}.site_chain().front())) == kTokyo);
}

TEST_CASE("Names are 1 to 63 of a-z, 0-9 and '-', not beginning with '-'", "[certs][identity]") {
  for (const std::string& good :
       {std::string{"a"}, std::string{"0"}, std::string{"a-"}, std::string(63, 'x')}) {
    CHECK(check_name("org", good));
  }
  for (const std::string& bad : {std::string{}, std::string{"-a"}, std::string{"A"}, std::string{"a_b"},
                                 std::string{"a.b"}, std::string{"a b"}, std::string{"ä"},
                                 std::string(64, 'x'), std::string{"a\0b", 3}, std::string{"a\n"}}) {
    CAPTURE(bad);
    const Error error = error_of(check_name("site", bad));
    CHECK(error.code() == Errc::UsageInvalid);
    CHECK_THAT(error.message(), Contains("a-z, 0-9 and '-'") && Contains("a site"));
  }
}

TEST_CASE("A URI that is not exactly a site's is refused", "[certs][identity]") {
  for (const char* uri : {"", "culvert://org/acme", "culvert://org/acme/site/", "culvert://org//site/tokyo",
                          "culvert://org/acme/site/tokyo/", "culvert://org/acme/site/tokyo/site/x",
                          "CULVERT://org/acme/site/tokyo", "https://org/acme/site/tokyo",
                          "culvert://org/acme/site/tokyo?x", "culvert://org/ac%6de/site/tokyo",
                          "culvert://org/acme/target/tokyo", " culvert://org/acme/site/tokyo"}) {
    CAPTURE(uri);
    CHECK(error_of(SiteIdentity::from_uri(uri)).code() == Errc::CertificateInvalid);
  }
}

TEST_CASE("A server's certificate names no site", "[certs][identity]") {
  const Error error = error_of(SiteIdentity::of(World{}.server_chain().front()));
  CHECK_THAT(error.message(), Contains("gw.example.net"));
}
