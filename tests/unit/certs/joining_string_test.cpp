#include <catch2/catch.hpp>

#include <regex>

#include "certs/base64url.hpp"
#include "certs/joining_string.hpp"
#include "tests/unit/certs/test_world.hpp"
#include "tunnel-core/base/byte_cursor.hpp"

using namespace culvert;
using namespace culvert::certs;
using namespace culvert::certs::test;
using Catch::Contains;

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view kPrefix = "culvert-join-";

JoiningString sample() {
  JoiningString joining;
  joining.gateway_url = "https://gw.example.net:443";
  joining.trust = JoiningString::TrustKind::RootFingerprint;
  joining.root_fingerprint = sha256(as_bytes("root"));
  joining.org = "acme";
  joining.site = "tokyo";
  joining.expires_at = kNow + days(1);
  joining.secret = new_joining_secret();
  return joining;
}

// Any bytes, with the checksum that makes them complete.
std::string sealed(Bytes bytes) {
  const Sha256 digest = sha256(bytes);
  bytes.insert(bytes.end(), digest.begin(), digest.begin() + 4);
  return std::string{kPrefix} + base64url_encode(bytes);
}

Bytes body_of(const JoiningString& joining) {
  const std::string text = unwrap(joining.encode());
  Bytes bytes = *base64url_decode(std::string_view{text}.substr(kPrefix.size()));
  bytes.resize(bytes.size() - 4);
  return bytes;
}

}  // namespace

TEST_CASE("A joining string survives being one word", "[certs][joining]") {
  JoiningString joining = sample();
  const std::string text = unwrap(joining.encode());
  CHECK(std::regex_match(text, std::regex{"^culvert-join-[A-Za-z0-9_-]+$"}));
  CHECK(unwrap(JoiningString::decode(text)) == joining);

  joining.trust = JoiningString::TrustKind::SystemRoots;
  joining.root_fingerprint = {};
  joining.gateway_url = "https://" + std::string(504, 'a');
  joining.org = std::string(63, 'o');
  joining.site = std::string(63, 's');
  CHECK(unwrap(JoiningString::decode(unwrap(joining.encode()))) == joining);
}

TEST_CASE("White space that terminals and mail add is ignored", "[certs][joining]") {
  const JoiningString joining = sample();
  std::string text = unwrap(joining.encode());
  text.insert(80, "\r\n   ");
  CHECK(unwrap(JoiningString::decode(" \t" + text + "\n")) == joining);
}

TEST_CASE("Any other letter at any position of a joining string is noticed", "[certs][joining]") {
  const std::string text = unwrap(sample().encode());
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const char c : kAlphabet) {
      if (c == text[at]) continue;
      std::string mistyped = text;
      mistyped[at] = c;
      const auto decoded = JoiningString::decode(mistyped);
      if (decoded || decoded.error().code() != Errc::JoiningStringInvalid)
        FAIL("not noticed: " << at << " " << c);
    }
  }
  SUCCEED("all noticed");
}

TEST_CASE("A letter lost, doubled or swapped at any position is noticed", "[certs][joining]") {
  const std::string text = unwrap(sample().encode());
  for (std::size_t at = 0; at < text.size(); ++at) {
    CAPTURE(at);
    std::string lost = text;
    lost.erase(at, 1);
    REQUIRE_FALSE(JoiningString::decode(lost));
    REQUIRE_FALSE(JoiningString::decode(text.substr(0, at)));
    std::string doubled = text;
    doubled.insert(at, 1, text[at]);
    REQUIRE_FALSE(JoiningString::decode(doubled));
    if (at + 1 < text.size() && text[at] != text[at + 1]) {
      std::string swapped = text;
      std::swap(swapped[at], swapped[at + 1]);
      REQUIRE_FALSE(JoiningString::decode(swapped));
    }
  }
}

TEST_CASE("A mistake is called what it is, and the text is not repeated", "[certs][joining]") {
  const JoiningString joining = sample();
  const std::string text = unwrap(joining.encode());
  CHECK_THAT(error_of(JoiningString::decode("hello")).message(), Contains("not a joining string"));
  CHECK_THAT(error_of(JoiningString::decode("")).message(), Contains("not a joining string"));
  const Error cut = error_of(JoiningString::decode(text.substr(0, text.size() - 5)));
  CHECK_THAT(cut.message(), Contains("cut short or mistyped") && !Contains(text.substr(20, 12)));

  Bytes newer = body_of(joining);
  newer[0] = std::byte{2};
  newer.resize(newer.size() + 7);
  CHECK_THAT(error_of(JoiningString::decode(sealed(newer))).message(),
             Contains("version 2") && Contains("update"));
}

TEST_CASE("A complete joining string with senseless values is refused", "[certs][joining]") {
  const Bytes body = body_of(sample());
  const auto changed = [&](std::size_t at, std::uint8_t value) {
    Bytes bytes = body;
    bytes[at] = std::byte{value};
    return error_of(JoiningString::decode(sealed(bytes)));
  };
  CHECK_THAT(changed(2, 255).message(), Contains("make no sense"));     // The url's length.
  CHECK_THAT(changed(3, 'x').message(), Contains("make no sense"));     // Not https.
  CHECK_THAT(changed(3 + 26, 9).message(), Contains("make no sense"));  // An unknown kind of trust.
  CHECK_THAT(changed(3 + 26 + 33 + 1, 'A').message(), Contains("make no sense"));  // A bad org.
  CHECK_THAT(changed(body.size() - 40, 255).message(),
             Contains("make no sense"));  // Expiry beyond all calendars.
  Bytes longer = body;
  longer.push_back({});
  CHECK_FALSE(JoiningString::decode(sealed(longer)));
  for (std::size_t size = 0; size < body.size(); ++size) {
    CAPTURE(size);
    REQUIRE_FALSE(JoiningString::decode(sealed(Bytes(body.begin(), body.begin() + static_cast<long>(size)))));
  }
}

TEST_CASE("Values that cannot stand in a joining string are refused before it is made", "[certs][joining]") {
  for (const char* url : {"", "gw.example.net", "http://gw.example.net", "https://", "https://:443",
                          "https://gw/path", "https://user@gw", "https://gw\n"}) {
    CAPTURE(url);
    JoiningString joining = sample();
    joining.gateway_url = url;
    CHECK(error_of(joining.encode()).code() == Errc::UsageInvalid);
  }
  JoiningString joining = sample();
  joining.gateway_url = "https://" + std::string(505, 'a');
  CHECK(error_of(joining.encode()).code() == Errc::UsageInvalid);
  joining = sample();
  joining.site = "To Kyo";
  CHECK(error_of(joining.encode()).code() == Errc::UsageInvalid);
  joining = sample();
  joining.expires_at = UtcTime::max();
  CHECK(error_of(joining.encode()).code() == Errc::UsageInvalid);
  joining = sample();
  joining.gateway_url = "https://[2001:db8::7]:8443";
  CHECK(joining.encode());
}

TEST_CASE("Expiry is a question of its own, answered with both times", "[certs][joining]") {
  const JoiningString joining = sample();
  CHECK(joining.check_expiry(kNow));
  CHECK(joining.check_expiry(joining.expires_at - std::chrono::seconds{1}));
  const Error error = error_of(joining.check_expiry(joining.expires_at));
  CHECK(error.code() == Errc::JoiningStringExpired);
  CHECK_THAT(error.message(), Contains("2026-03-02T08:30:00Z") && Contains("join-token acme tokyo"));
}

TEST_CASE("Secrets differ, and the store keeps a SHA-256 of them", "[certs][joining]") {
  CHECK(new_joining_secret() != new_joining_secret());
  CHECK(joining_secret_hash(JoiningSecret{}) ==
        "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");  // Of 32 zero bytes.
}

TEST_CASE("Base64url has one text for each sequence of bytes", "[certs][base64url]") {
  CHECK(base64url_encode(as_bytes("")) == "");
  CHECK(base64url_encode(as_bytes("f")) == "Zg");
  CHECK(base64url_encode(as_bytes("fo")) == "Zm8");
  CHECK(base64url_encode(as_bytes("foobar")) == "Zm9vYmFy");
  CHECK(base64url_encode(as_bytes("\xff\xfe\xff")) == "__7_");
  CHECK(as_text(*base64url_decode("Zm8")) == "fo");
  for (const char* wrong : {"Z", "Zh", "Zm9", "Zg==", "Zm+v", "Zm/v", "Zm v", "Zm9vY"}) {
    CAPTURE(wrong);
    CHECK_FALSE(base64url_decode(wrong).has_value());
  }
}
