// Conclusions of the doctor on the way to the gateway, from facts made up here.
#include <catch2/catch.hpp>

#include "tests/unit/agent/doctor/finding_ids.hpp"
#include "tunnel-agent/doctor/path_probe.hpp"

using namespace culvert;

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
