// Conclusions of the doctor on the way to the gateway, from facts made up here.
#include <catch2/catch.hpp>

#include "certs/authority.hpp"
#include "certs/site_proof.hpp"
#include "tests/unit/agent/doctor/finding_ids.hpp"
#include "tunnel-agent/doctor/agent_check.hpp"
#include "tunnel-agent/doctor/gateway_conclusions.hpp"
#include "tunnel-agent/doctor/machine_check.hpp"
#include "tunnel-agent/doctor/path_probe.hpp"

using namespace culvert;

namespace {

const certs::UtcTime kNow{std::chrono::seconds{1795316400}};  // 2026-11-22T03:00:00Z

/// What the gateway says to a signature that was made for another connection.
std::string words_for_foreign_proof() {
  const auto key = certs::PrivateKey::generate();
  const auto root = certs::Authority::create_root("Test root", kNow);
  REQUIRE(key);
  REQUIRE(root);
  const std::vector<certs::Certificate> chain{root->certificate()};
  const Bytes here(32, std::byte{1}), there(32, std::byte{2});
  const auto opened = certs::open_site_proof(certs::make_site_proof(*key, chain, here), there);
  REQUIRE_FALSE(opened);
  return opened.error().message();
}

ControlFact refused_with(const std::string& words) {
  ControlFact control{true, Error{Errc::Unauthorized, "the gateway answered 401: " + words +
                                                          " [request 1]; join again with a new string"}};
  control.presented = PresentedCertificate{};
  control.presented->subject = "CN=gw.example";
  control.presented->issuer = "CN=Inspection Box";
  return control;
}

GatewayFacts answered(const std::string& reply) {
  GatewayFacts facts;
  facts.reply = parse_http_reply("HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 03:00:00 GMT\r\n\r\n" + reply);
  return facts;
}

}  // namespace

TEST_CASE("Doctor: a signature of another connection shows that TLS is ended on the way", "[doctor]") {
  for (const std::string& words :
       {words_for_foreign_proof(),
        std::string{"this call needs the client certificate of a site, offered with ALPN culvert/1"}}) {
    ControlFact control = refused_with(words);
    const auto findings = conclude_control(control);
    REQUIRE(ids(findings) == Ids{"tls_interception"});
    const Finding& finding = findings.front();
    CHECK_FALSE(finding.note);
    CHECK(finding.cause ==
          "TLS is ended on the way: by somebody with a certificate of 'CN=gw.example' signed by "
          "'CN=Inspection Box' which this agent trusts");
    CHECK(finding.evidence.find("'CN=Inspection Box'") != std::string::npos);
    CHECK(finding.evidence.find("the gateway answered 401: ") != std::string::npos);
    CHECK(finding.evidence.find("join again") == std::string::npos);
    control.presented.reset();
    CHECK(ids(conclude_control(control)) == Ids{"tls_interception"});
  }
  CHECK(ids(conclude_control(refused_with("site 'here' of org 'demo' was removed"))) ==
        Ids{"identity_refused"});
}

TEST_CASE("Doctor: the site's certificate is judged by the gateway's time where this machine's is wrong",
          "[doctor]") {
  const std::string health =
      R"({"status":"ok","version":"0.1.0","protocols":[1],"time":"2026-11-22T03:00:00Z"})";
  GatewayFacts facts = answered(health);
  facts.asked_at = kNow + std::chrono::seconds{59};
  CHECK_FALSE(better_time(facts));
  for (const long moved : {-2L, 85L, 400L}) {
    facts.asked_at = kNow + certs::days(moved);
    REQUIRE(better_time(facts) == kNow);
    CHECK(conclude_certificate("f", kNow + certs::days(90), *better_time(facts)).empty());
  }
  // Whoever answers in the gateway's place has no say in it.
  GatewayFacts portal = answered("<form>");
  portal.asked_at = kNow + certs::days(400);
  CHECK_FALSE(better_time(portal));
  CHECK_FALSE(better_time(GatewayFacts{}));
}

TEST_CASE("Doctor: an upgrade that a stranger answers is refused, one that a broken front answers is not",
          "[doctor]") {
  PathFacts facts;
  facts.upgrade_reply = parse_http_reply("HTTP/1.1 401 Unauthorized\r\nCulvert-Request-Id: 1\r\n\r\n");
  CHECK(conclude_path(facts).empty());
  facts.upgrade_reply = parse_http_reply("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  CHECK(conclude_path(facts).empty());
  facts.upgrade_reply = parse_http_reply("HTTP/1.1 403 Forbidden\r\nServer: box\r\n\r\n");
  CHECK(ids(conclude_path(facts)) == Ids{"upgrade_refused"});
  CHECK_FALSE(is_healthy(conclude_path(facts)));
  facts.websocket_passes = true;
  CHECK(is_healthy(conclude_path(facts)));
  facts.site_refused = true;
  CHECK_FALSE(is_healthy(conclude_path(facts)));
}

TEST_CASE("Doctor: idle connections are cut where every longer wait is cut too", "[doctor]") {
  PathFacts facts;
  facts.idle = {{1s, true, false, false}, {3s, true, true, true}, {5s, true, true, false}};
  const auto findings = conclude_path(facts);
  REQUIRE(ids(findings) == Ids{"idle_cut"});
  CHECK(findings.front().cause.find("3.0 s") != std::string::npos);
  facts.idle.back().cut = false;
  CHECK(conclude_path(facts).empty());
  facts.idle.clear();
  facts.large_lost = true;
  CHECK(ids(conclude_path(facts)) == Ids{"mtu_hole"});
}

TEST_CASE("Doctor: a gateway that falls silent for everybody is no NAT that forgets", "[doctor]") {
  PathFacts facts;
  facts.idle = {{1500ms, true, true, true}, {3s, true, true, true}};
  CHECK(ids(conclude_path(facts)) == Ids{"idle_cut"});
  facts.upgrade_swallowed = true;
  facts.gateway_silent = true;
  CHECK(ids(conclude_path(facts)) == Ids{"gateway_fell_silent"});
}
