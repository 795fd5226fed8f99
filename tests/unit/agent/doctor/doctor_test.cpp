// Conclusions of the doctor, from facts made up here: no network, no clock.
#include <catch2/catch.hpp>
#include <cerrno>

#include "tests/unit/agent/doctor/finding_ids.hpp"
#include "tunnel-agent/doctor/agent_check.hpp"
#include "tunnel-agent/doctor/gateway_conclusions.hpp"
#include "tunnel-agent/doctor/machine_check.hpp"
#include "tunnel-agent/doctor/path_probe.hpp"
#include "tunnel-agent/doctor/probe_socket.hpp"

using namespace culvert;
using nlohmann::json;

namespace {

constexpr const char* kHealth =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    R"({"status":"ok","version":"0.1.0","protocols":[1],"time":"2026-11-22T03:00:00Z"})";
const certs::UtcTime kNoon{std::chrono::seconds{1795316400}};  // 2026-11-22T03:00:00Z

GatewayFacts healthy() {
  GatewayFacts facts;
  facts.host = "gw.example";
  facts.addresses = {{"192.0.2.1:443", Reach::Connected, "connected"}};
  facts.tls = TlsOutcome::Done;
  facts.tls_version = "TLSv1.3";
  facts.certificate = PresentedCertificate{};
  facts.certificate->subject = "CN=gw.example";
  facts.certificate->issuer = "CN=Provider: server certificates";
  facts.certificate->names_host = true;
  facts.certificate->not_before = kNoon - certs::days(1);
  facts.certificate->not_after = kNoon + certs::days(1);
  facts.reply = parse_http_reply(kHealth);
  facts.asked_at = kNoon;
  return facts;
}

Ids with_reach(Reach reach) {
  GatewayFacts facts = healthy();
  facts.addresses = {{"192.0.2.1:443", reach, "seen"}};
  return ids(conclude_gateway(facts));
}

Ids with_verdict(Errc code, bool names_host = true, const std::string& issuer = "CN=Box") {
  GatewayFacts facts = healthy();
  facts.certificate->verdict = Error{code, "why"};
  facts.certificate->names_host = names_host;
  facts.certificate->issuer = issuer;
  return ids(conclude_gateway(facts));
}

Ids with_reply(const char* bytes) {
  GatewayFacts facts = healthy();
  facts.reply = parse_http_reply(bytes);
  return ids(conclude_gateway(facts));
}

json status(const std::string& state, const std::string& id, const std::string& limit, int backlog,
            int sent) {
  return {{"session", {{"state", state}, {"id", id}, {"since", "s"}, {"error", "e"}, {"limited_by", limit}}},
          {"lanes", {{{"id", 1}, {"state", "up"}, {"sent_bytes", sent}, {"received_bytes", 7}}}},
          {"forwards", json::array()},
          {"backlog_bytes", backlog}};
}

const ControlFact kWorks{true, {}};

}  // namespace

TEST_CASE("Doctor: a gateway that answers as it should gives no finding", "[doctor]") {
  REQUIRE(conclude_gateway(healthy()).empty());
}

TEST_CASE("Doctor: name, route, silence and refusal are told apart", "[doctor]") {
  GatewayFacts nameless = healthy();
  nameless.resolve_error = "Name or service not known";
  CHECK(ids(conclude_gateway(nameless)) == Ids{"name_unresolved"});
  CHECK(with_reach(Reach::NoRoute) == Ids{"no_route"});
  CHECK(with_reach(Reach::Silent) == Ids{"port_filtered"});
  CHECK(with_reach(Reach::Refused) == Ids{"port_refused"});
  CHECK(with_reach(Reach::Forbidden) == Ids{"port_forbidden_here"});
}

TEST_CASE("Doctor: a firewall that answers by ICMP is told from a missing route", "[doctor]") {
  const IcmpAnswer prohibits{true, false, "10.0.0.1"}, has_no_way{false, false, "10.0.0.1"},
      own{true, true, "10.0.0.2"};
  CHECK(reach_of(EHOSTUNREACH, prohibits) == Reach::Prohibited);
  CHECK(reach_of(EACCES, prohibits) == Reach::Prohibited);  // What IPv6 makes of it.
  CHECK(reach_of(EHOSTUNREACH, own) == Reach::Forbidden);
  CHECK(reach_of(EHOSTUNREACH, has_no_way) == Reach::NoRoute);
  CHECK(reach_of(0, prohibits) == Reach::Connected);
  CHECK(with_reach(Reach::Prohibited) == Ids{"port_prohibited"});
  GatewayFacts facts = healthy();
  facts.addresses = {{"192.0.2.1:443", Reach::NoRoute, "No route to host (ICMP from 10.0.0.1)", true}};
  const auto findings = conclude_gateway(facts);
  REQUIRE(ids(findings) == Ids{"no_route"});
  CHECK(findings.front().cause.find("router or firewall") != std::string::npos);
}

TEST_CASE("Doctor: a gateway's address in the local network at which nothing answers is no filtered port",
          "[doctor]") {
  GatewayFacts facts = healthy();
  facts.addresses = {{"192.0.2.1:443", Reach::NoRoute, "nothing answers", false, true}};
  const auto findings = conclude_gateway(facts);
  REQUIRE(ids(findings) == Ids{"host_absent"});
  CHECK(findings.front().cause == "nothing answers at 192.0.2.1:443 in the local network");
  facts.addresses.push_back({"198.51.100.1:443", Reach::Silent, "no answer within 2 s"});
  CHECK(ids(conclude_gateway(facts)) == Ids{"port_filtered"});
}

TEST_CASE("Doctor: a portal that shuts 443 out shows itself on port 80", "[doctor]") {
  GatewayFacts facts = healthy();
  facts.addresses = {{"192.0.2.1:443", Reach::Silent, "none"}};
  facts.port_80_reply = parse_http_reply("HTTP/1.1 302 Found\r\nLocation: http://login.hotel/\r\n\r\n");
  const auto findings = conclude_gateway(facts);
  REQUIRE(ids(findings) == Ids{"captive_portal"});
  CHECK(findings.front().evidence.find("192.0.2.1:443: none; on port 80 HTTP status 302") == 0);
  facts.port_80_reply = parse_http_reply("HTTP/1.1 301 Moved\r\nLocation: https://GW.example/\r\n\r\n");
  CHECK(ids(conclude_gateway(facts)) == Ids{"port_filtered"});
}

TEST_CASE("Doctor: of several addresses the one that came furthest decides", "[doctor]") {
  GatewayFacts facts = healthy();
  facts.addresses = {{"[2001:db8::1]:443", Reach::NoRoute, "no route"},
                     {"192.0.2.1:443", Reach::Silent, "none"}};
  CHECK(ids(conclude_gateway(facts)) == Ids{"port_filtered"});
}

TEST_CASE("Doctor: what is wrong with a certificate is told apart", "[doctor]") {
  CHECK(with_verdict(Errc::TlsExpired) == Ids{"certificate_expired"});
  CHECK(with_verdict(Errc::TlsNotYetValid) == Ids{"certificate_not_yet_valid"});
  CHECK(with_verdict(Errc::TlsWrongName) == Ids{"wrong_name"});
  CHECK(with_verdict(Errc::TlsThumbprintMismatch) == Ids{"thumbprint_mismatch"});
  CHECK(with_verdict(Errc::TlsUntrusted) == Ids{"tls_interception"});
  CHECK(with_verdict(Errc::TlsUntrusted, false) == Ids{"wrong_ca"});
  CHECK(with_verdict(Errc::TlsUntrusted, true, "CN=Other: server certificates") == Ids{"wrong_ca"});
}

TEST_CASE("Doctor: a wrong clock is blamed only where the certificate is in time for the gateway",
          "[doctor]") {
  GatewayFacts facts = healthy();
  facts.asked_at = kNoon + certs::days(400);
  facts.certificate->verdict = Error{Errc::TlsExpired, "why"};
  CHECK(ids(conclude_gateway(facts)) == Ids{"clock_skew"});
  facts.certificate->not_after = kNoon - std::chrono::hours{1};
  CHECK(ids(conclude_gateway(facts)) == Ids{"certificate_expired", "clock_skew"});
  facts.certificate->verdict.reset();
  facts.asked_at = kNoon - std::chrono::seconds{61};
  CHECK(ids(conclude_gateway(facts)) == Ids{"clock_skew"});
  facts.asked_at = kNoon + std::chrono::seconds{59};
  CHECK(conclude_gateway(facts).empty());
}

TEST_CASE("Doctor: a gateway's certificate that should have been renewed by now is a note", "[doctor]") {
  GatewayFacts facts = healthy();
  facts.certificate->not_before = kNoon - certs::days(383);
  facts.certificate->not_after = kNoon + kGatewayCertificateWarning;
  CHECK(conclude_gateway(facts).empty());
  facts.certificate->not_after -= std::chrono::seconds{1};
  const std::vector<Finding> findings = conclude_gateway(facts);
  CHECK(ids(findings) == Ids{"gateway_certificate_ends_soon"});
  CHECK(is_healthy(findings));
  CHECK(findings.front().cause == "the gateway's certificate ends in 13 days");
  // A short life is no late renewal.
  facts.certificate->not_before = kNoon - certs::days(1);
  facts.certificate->not_after = kNoon + certs::days(5);
  CHECK(conclude_gateway(facts).empty());
  // By the gateway's clock it has time left.
  facts.certificate->not_before = kNoon - certs::days(30);
  facts.certificate->not_after = kNoon + certs::days(60);
  facts.asked_at = kNoon + certs::days(55);
  CHECK(ids(conclude_gateway(facts)) == Ids{"clock_skew"});
}

TEST_CASE("Doctor: a portal, another server and a server without TLS are told apart", "[doctor]") {
  CHECK(with_reply("HTTP/1.1 302 Found\r\nLocation: https://login.hotel.example/x\r\n\r\n") ==
        Ids{"captive_portal"});
  CHECK(with_reply(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><FORM action=/login>") ==
        Ids{"captive_portal"});
  CHECK(with_reply("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>It works") ==
        Ids{"not_a_gateway"});
  GatewayFacts portal = healthy();
  portal.certificate->verdict = Error{Errc::TlsWrongName, "why"};
  portal.reply = parse_http_reply("HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n");
  CHECK(ids(conclude_gateway(portal)) == Ids{"captive_portal"});
  CHECK(with_reply("HTTP/1.1 511 Network Authentication Required\r\n\r\n") == Ids{"captive_portal"});
  CHECK(with_reply("HTTP/1.1 302 Found\r\nLocation: https://gw.example/x\r\n\r\n") == Ids{"not_a_gateway"});
  CHECK(with_reply("HTTP/1.1 404 Not Found\r\nServer: nginx\r\n\r\n<html>") == Ids{"not_a_gateway"});
  CHECK(with_reply("SSH-2.0") == Ids{"not_a_gateway"});
  CHECK_FALSE(parse_http_reply("HTTP/1.1 302 Found\r\nLocation: https://login"));
  GatewayFacts plain = healthy();
  plain.tls = TlsOutcome::NotTls;
  plain.plain_reply = parse_http_reply("HTTP/1.0 404 Not Found\r\n\r\n");
  CHECK(ids(conclude_gateway(plain)) == Ids{"not_a_gateway"});
  plain.plain_reply.reset();
  plain.tls = TlsOutcome::Silent;
  CHECK(ids(conclude_gateway(plain)) == Ids{"handshake_unanswered"});
  plain.tls = TlsOutcome::Ended;
  CHECK(ids(conclude_gateway(plain)) == Ids{"handshake_cut"});
}

TEST_CASE("Doctor: a proxy that wants a login is told from one that refuses", "[doctor]") {
  GatewayFacts facts = healthy();
  facts.proxy = "p.lan:3128";
  facts.proxy_error = Error{Errc::ProxyUnauthorized, "407"};
  CHECK(ids(conclude_gateway(facts)) == Ids{"proxy_needs_login"});
  facts.proxy_error = Error{Errc::ProxyRefused, "403"};
  CHECK(ids(conclude_gateway(facts)) == Ids{"proxy_refuses"});
  facts.proxy_error = Error{Errc::ConnectionRefused, "refused"};
  CHECK(ids(conclude_gateway(facts)) == Ids{"proxy_failed"});
}

TEST_CASE("Doctor: the site's certificate is warned of two weeks before its end", "[doctor]") {
  CHECK(conclude_certificate("f", kNoon + certs::days(14), kNoon).empty());
  CHECK(ids(conclude_certificate("f", kNoon + certs::days(13), kNoon)) == Ids{"certificate_ends_soon"});
  CHECK(ids(conclude_certificate("f", kNoon - certs::days(1), kNoon)) == Ids{"site_certificate_expired"});
}

TEST_CASE("Doctor: a disk without room for bytes or for files is full", "[doctor]") {
  CHECK(conclude_disk({"d", kLeastDiskBytes, kLeastDiskFiles}).empty());
  CHECK(conclude_disk({"d", kLeastDiskBytes, {}}).empty());
  CHECK(ids(conclude_disk({"d", 0, 100})) == Ids{"disk_full"});
  CHECK(ids(conclude_disk({"d", 1 << 30, 0})) == Ids{"disk_full"});
}

TEST_CASE("Doctor: control that works beside lanes that cannot be made is data that is blocked", "[doctor]") {
  const json down = status("down", "00000000000004d2", "", 0, 0);
  const auto findings = conclude_status({down, down}, kWorks);
  REQUIRE(ids(findings) == Ids{"data_blocked"});
  CHECK(findings.front().cause == "control works but data is blocked");
  CHECK(ids(conclude_status({status("down", "", "", 0, 0), status("down", "", "", 0, 0)}, kWorks)) ==
        Ids{"session_down"});
  CHECK(conclude_status({down, down}, {}).empty());  // The way there is at fault, which another finding says.
  CHECK(conclude_status({status("up", "1", "source", 0, 0), down}, kWorks).empty());  // Just coming back.
}

TEST_CASE("Doctor: lanes that get no byte back while bytes wait are data that is blocked", "[doctor]") {
  const json stuck = status("up", "1", "line", 4096, 100);
  json alive = stuck;
  alive["lanes"][0]["received_bytes"] = 8;
  CHECK(ids(conclude_status({stuck, stuck}, kWorks)) == Ids{"data_blocked"});
  CHECK(ids(conclude_status({stuck, alive, alive}, kWorks)) == Ids{"data_blocked"});
  // An agent that dials anew as soon as a lane falls silent has other lanes in each look.
  json replaced = stuck;
  replaced["lanes"][0]["id"] = 2;
  replaced["lanes"][0]["received_bytes"] = 3;
  CHECK(ids(conclude_status({stuck, replaced}, kWorks)) == Ids{"data_blocked"});
  replaced["backlog_bytes"] = 1;
  CHECK(ids(conclude_status({stuck, replaced}, kWorks)) == Ids{"limited_by_line"});
  CHECK(ids(conclude_status({stuck, alive}, kWorks)) == Ids{"limited_by_line"});
  CHECK(conclude_status({status("up", "1", "source", 0, 100), status("up", "1", "source", 0, 100)}, kWorks)
            .empty());
}

namespace {

/// Three looks, a second apart, of one lane.
struct Busy {
  std::string limit = "line";
  double backlog = 1e6;
  double bytes_per_s = 1e6;
  double rtt_ms = 20;
  double least_rtt_ms = 20;
  double resent_each_s = 0;
  double cpu_ms_each_s = 100;
  double late_rate = 1;  ///< Of the second span, over the first.

  std::vector<json> looks() const {
    std::vector<json> all;
    double sent = 0;
    for (int i = 0; i < 3; ++i) {
      json look = status("up", "1", limit, 1, 0);
      look["backlog_bytes"] = backlog;
      look["data_thread"] = {{"cpu_ms", cpu_ms_each_s * i}, {"age_ms", 1000.0 * i}};
      look["lanes"] = {{{"id", 1},
                        {"state", "up"},
                        {"rtt_ms", rtt_ms},
                        {"sent_bytes", sent},
                        {"received_bytes", i},
                        {"segments_sent", 1000 * i},
                        {"segments_resent", resent_each_s * i},
                        {"tcp_rtt_ms", rtt_ms},
                        {"tcp_least_rtt_ms", least_rtt_ms}}};
      all.push_back(look);
      sent += bytes_per_s * (i == 0 ? 1 : late_rate);
    }
    return all;
  }
};

Ids limits(const Busy& busy) {
  return ids(conclude_status(busy.looks(), kWorks));
}

}  // namespace

TEST_CASE("Doctor: what limits a busy session is told apart", "[doctor]") {
  CHECK(limits({}) == Ids{"limited_by_line"});
  CHECK(limits({.resent_each_s = 10}) == Ids{"limited_by_loss"});
  CHECK(limits({.cpu_ms_each_s = 950}) == Ids{"limited_by_cpu"});
  CHECK(limits({.rtt_ms = 60}) == Ids{"limited_by_shaper"});
  CHECK(limits({.rtt_ms = 26}) == Ids{"limited_by_shaper"});
  CHECK(limits({.rtt_ms = 24}) == Ids{"limited_by_line"});
  CHECK(limits({.rtt_ms = 1, .least_rtt_ms = 0.1}) == Ids{"limited_by_line"});
  CHECK(limits({.rtt_ms = 60, .late_rate = 2}) == Ids{"limited_by_line"});
  // A full line drops, too: its queue tells.
  CHECK(limits({.rtt_ms = 60, .resent_each_s = 50}) == Ids{"limited_by_shaper"});
  CHECK(limits({.rtt_ms = 24, .resent_each_s = 50}) == Ids{"limited_by_loss"});
  std::vector<json> burst = Busy{.rtt_ms = 24, .resent_each_s = 50}.looks();
  burst[1]["lanes"][0]["segments_resent"] = 100;  // All in the first second.
  CHECK(ids(conclude_status(burst, kWorks)) == Ids{"limited_by_line"});
  std::vector<json> spike = Busy{.resent_each_s = 50}.looks();
  spike[1]["lanes"][0]["tcp_rtt_ms"] = 60;
  CHECK(ids(conclude_status(spike, kWorks)) == Ids{"limited_by_loss"});
  CHECK(limits({.limit = "memory"}) == Ids{"limited_by_memory"});
  CHECK(limits({.limit = "buffers"}) == Ids{"limited_by_buffers"});
  CHECK(limits({.limit = "limit"}) == Ids{"limited_by_limit"});
  CHECK(limits({.limit = "window", .backlog = 40e3}) == Ids{"limited_by_window"});
  CHECK(limits({.limit = "window", .backlog = 4e6}) == Ids{"limited_by_target"});
  CHECK(limits({.limit = "window", .bytes_per_s = 0}) == Ids{"limited_by_target"});
  CHECK(limits({.limit = "source"}).empty());
  CHECK(limits({.backlog = 0}).empty());
  std::vector<json> looks = Busy{}.looks();
  looks[1]["session"]["limited_by"] = "window";
  CHECK(ids(conclude_status(looks, kWorks)) == Ids{"limited_by_line"});
  looks[2]["session"]["limited_by"] = "buffers";
  CHECK(ids(conclude_status(looks, kWorks)) == Ids{"limited_by_line"});
  looks[2]["session"]["limited_by"] = "memory";
  CHECK(conclude_status(looks, kWorks).empty());
}

TEST_CASE("Doctor: a full line, a slow target and a set limit are notes, which make nothing unhealthy",
          "[doctor]") {
  for (const Busy& busy : {Busy{}, Busy{.rtt_ms = 60}, Busy{.limit = "limit"}, Busy{.limit = "window"}})
    CHECK(is_healthy(conclude_status(busy.looks(), kWorks)));
  CHECK_FALSE(is_healthy(conclude_status(Busy{.resent_each_s = 10}.looks(), kWorks)));
  CHECK_FALSE(is_healthy(conclude_status(Busy{.limit = "memory"}.looks(), kWorks)));
}

TEST_CASE("Doctor: a gateway that proves itself and says nothing is silent, and not something else",
          "[doctor]") {
  GatewayFacts facts = healthy();
  facts.reply.reset();
  CHECK(ids(conclude_gateway(facts)) == Ids{"not_a_gateway"});
  facts.silent_after_tls = true;
  CHECK(ids(conclude_gateway(facts)) == Ids{"gateway_fell_silent"});
}

TEST_CASE("Doctor: a way on which only the proof of identity works is a note", "[doctor]") {
  ControlFact by_proof = kWorks;
  by_proof.only_by_proof = true;
  const auto found = conclude_control(by_proof);
  REQUIRE(ids(found) == Ids{"alpn_blocked"});
  CHECK(found.front().note);
  CHECK(conclude_control(kWorks).empty());
}

TEST_CASE("Doctor: a depot that cannot serve is a fault, and a note on the port that nobody chose",
          "[doctor]") {
  CHECK(conclude_depot({80, ""}).empty());
  const auto usual = conclude_depot({80, "port 80 is in use by process 7 (nginx); stop it"});
  REQUIRE(ids(usual) == Ids{"depot_down"});
  CHECK(is_healthy(usual));
  CHECK_FALSE(is_healthy(conclude_depot({8080, "port 8080 is in use by process 7 (nginx); stop it"})));
  CHECK_FALSE(is_healthy(conclude_depot({80, "depot.json is not what the agent wrote"})));
}

TEST_CASE("Doctor: the running agent says how its depot is", "[doctor]") {
  CHECK(depot_of(json{{"depot", {{"state", "serving"}, {"error", ""}}}}, 80).error.empty());
  CHECK(depot_of(json{{"depot", {{"state", "off"}, {"error", ""}}}}, 80).error.empty());
  CHECK(depot_of(json{{"depot", {{"state", "failed"}, {"error", "why"}}}}, 80).error == "why");
  CHECK(depot_of(json{{"ports", json::array()}}, 80).error.empty());
  CHECK_FALSE(depot_of(Error{Errc::ConfigInvalid, "depot.json"}, 80).error.empty());
  CHECK(depot_of(Error{Errc::TimedOut, "slow"}, 80).error.empty());
}

TEST_CASE("Doctor: a site that the gateway refuses is told from a gateway in trouble", "[doctor]") {
  CHECK(conclude_control(kWorks).empty());
  CHECK(ids(conclude_control({true, Error{Errc::Unauthorized, "401"}})) == Ids{"identity_refused"});
  CHECK(ids(conclude_control({true, Error{Errc::ServerFailed, "500"}})) == Ids{"control_failed"});
}

TEST_CASE("Doctor: an HTTP answer is whole when its body is", "[doctor]") {
  CHECK_FALSE(is_whole_reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"));
  CHECK(is_whole_reply("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"));
  CHECK_FALSE(is_whole_reply("HTTP/1.1 200 OK\r\n\r\nabc"));
}
