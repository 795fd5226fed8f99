#include "cloud-api-client/include/cloud_api/client.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/unit/cloud_api/support/test_gateway.hpp"

using namespace culvert;
using namespace culvert::cloud_api;
using culvert::test::http_reply;
using culvert::test::SeenRequest;
using culvert::test::TestGateway;
using culvert::test::TestPki;

namespace {

constexpr Duration kMinute = 60s;  // Calls get more than their default: the machine under test may be busy.

const TestPki& pki() {
  static const TestPki made = TestPki::make();
  return made;
}

const std::string kHealthy =
    R"({"status":"ok","version":"0.1.0","protocols":[1],"time":"2026-11-21T10:00:00Z","added_later":true})";

TestGateway::Options trusted() {
  return {.credentials = pki().server({"localhost", "127.0.0.1", "::1"})};
}

certs::Trust by_root() {
  return certs::PinnedRoots{{pki().root.certificate()}};
}

std::unique_ptr<Client> client_of(const std::string& url, certs::Trust trust = by_root(),
                                  std::optional<ClientIdentity> identity = {}) {
  auto client =
      Client::create({.gateway_url = url, .trust = std::move(trust), .identity = std::move(identity)});
  REQUIRE(client);
  return std::move(*client);
}

template <class T>
void check_error(const Result<T>& result, Errc code, const std::string& part) {
  REQUIRE_FALSE(result);
  CAPTURE(result.error().to_string());
  CHECK(result.error().code() == code);
  CHECK(result.error().message().find(part) != std::string::npos);
  CHECK(result.error().message().find('\n') == std::string::npos);
}

TestGateway::Handler always(std::string reply) {
  return [reply](const SeenRequest&) { return reply; };
}

}  // namespace

TEST_CASE("Client: health is read, and unknown keys are no reason to fail", "[cloud_api]") {
  TestGateway gateway{trusted(), always(http_reply(200, kHealthy))};
  const auto health = client_of(gateway.url())->health(kMinute);
  REQUIRE(health);
  CHECK(health->status == "ok");
  CHECK(health->version == "0.1.0");
  CHECK(health->protocols == std::vector<unsigned>{1});
  const auto seen = gateway.requests();
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].server_name == "localhost");
  CHECK(seen[0].text.starts_with("GET /tunnel/v1/health HTTP/1.1\r\n"));
  CHECK(seen[0].text.find("Host:localhost:" + std::to_string(gateway.port()) + "\r\n") != std::string::npos);
}

TEST_CASE("Client: the root can be trusted by certificate or fingerprint, the server by thumbprint",
          "[cloud_api]") {
  const auto options = trusted();
  TestGateway gateway{options, always(http_reply(200, kHealthy))};
  const auto leaf = certs::Certificate::from_pem(options.credentials.leaf_pem);
  REQUIRE(leaf);
  CHECK(client_of(gateway.url())->health(kMinute));
  CHECK(client_of(gateway.url(), certs::RootFingerprint{pki().root.certificate().thumbprint()})
            ->health(kMinute));
  CHECK(client_of(gateway.url(), certs::LeafThumbprint{leaf->thumbprint()})->health(kMinute));
}

TEST_CASE("Client: a gateway is reached by its IPv4 or IPv6 address, without a server name", "[cloud_api]") {
  auto options = trusted();
  TestGateway v4{options, always(http_reply(200, kHealthy))};
  CHECK(client_of(v4.url("127.0.0.1"))->health(kMinute));
  options.ipv6 = true;
  TestGateway v6{options, always(http_reply(200, kHealthy))};
  const auto health = client_of(v6.url("[::1]"))->health(kMinute);
  if (!health) FAIL(health.error().to_string());
  CHECK(v6.requests().at(0).server_name.empty());
}

TEST_CASE("Client: each way a server certificate can be wrong has its own error", "[cloud_api]") {
  SECTION("a root we do not trust") {
    TestGateway gateway{trusted(), always(http_reply(200, kHealthy))};
    const TestPki other = TestPki::make();
    auto client = client_of(gateway.url(), certs::PinnedRoots{{other.root.certificate()}});
    check_error(client->health(kMinute), Errc::TlsUntrusted, ";");
    check_error(client_of(gateway.url(), certs::SystemRoots{})->health(kMinute), Errc::TlsUntrusted, "");
  }
  SECTION("another thumbprint") {
    TestGateway gateway{trusted(), always(http_reply(200, kHealthy))};
    check_error(client_of(gateway.url(), certs::LeafThumbprint{})->health(kMinute),
                Errc::TlsThumbprintMismatch, "00:00");
  }
  SECTION("another name") {
    TestGateway gateway{{.credentials = pki().server({"gw.example.net"})}, always(http_reply(200, kHealthy))};
    check_error(client_of(gateway.url())->health(kMinute), Errc::TlsWrongName, "gw.example.net");
  }
  SECTION("expired") {
    TestGateway gateway{{.credentials = pki().server({"localhost"}, certs::days(2), certs::days(1))},
                        always(http_reply(200, kHealthy))};
    check_error(client_of(gateway.url())->health(kMinute), Errc::TlsExpired, "clock");
  }
  SECTION("not yet valid") {
    TestGateway gateway{{.credentials = pki().server({"localhost"}, -certs::days(2), certs::days(5))},
                        always(http_reply(200, kHealthy))};
    check_error(client_of(gateway.url())->health(kMinute), Errc::TlsNotYetValid, "clock");
    CHECK(gateway.requests().empty());
    CHECK(gateway.connections() == 1);  // Nothing that a person has to mend is tried again.
  }
}

TEST_CASE("Client: without an identity http/1.1 is offered, with one culvert/1 and the certificate",
          "[cloud_api]") {
  auto options = trusted();
  TestGateway open{options, always(http_reply(200, kHealthy))};
  CHECK(client_of(open.url())->health(kMinute));
  CHECK(open.requests().at(0).alpn == "http/1.1");
  CHECK_FALSE(open.requests().at(0).client_certificate);

  options.require_client_issuer_pem = pki().root.certificate().to_pem();
  TestGateway closed{options, always(http_reply(200, kHealthy))};
  const auto site = pki().site("acme", "tokyo");
  const auto health =
      client_of(closed.url(), by_root(), ClientIdentity{site.chain_pem, site.key_pem})->health(kMinute);
  if (!health) FAIL(health.error().to_string());
  CHECK(closed.requests().at(0).alpn == "culvert/1");
  CHECK(closed.requests().at(0).client_certificate);
}

TEST_CASE("Client: a site certificate that the gateway refuses in the handshake is Unauthorized",
          "[cloud_api]") {
  auto options = trusted();
  options.require_client_issuer_pem = pki().root.certificate().to_pem();
  TestGateway gateway{options, always(http_reply(200, kHealthy))};
  const TestPki other = TestPki::make();
  const auto site = other.site("acme", "tokyo");
  auto client = client_of(gateway.url(), by_root(), ClientIdentity{site.chain_pem, site.key_pem});
  check_error(client->site(kMinute), Errc::Unauthorized, "join again");
}

TEST_CASE("Client: the way to the gateway fails in words of its own", "[cloud_api]") {
  std::uint16_t free_port = 0;
  { free_port = TestGateway{trusted(), always("")}.port(); }
  const std::string port = ":" + std::to_string(free_port);
  check_error(client_of("https://localhost" + port)->health(kMinute), Errc::ConnectionRefused, "refused");
  check_error(client_of("https://gateway.invalid")->health(kMinute), Errc::NameUnresolved, "gateway.invalid");
  check_error(client_of("https://255.255.255.255" + port)->health(kMinute), Errc::Unreachable, "routes");
}

TEST_CASE("Client: a proof that somebody on the way spoils is no reason to join again", "[cloud_api]") {
  const std::string body = R"({"error":{"code":"unauthorized","message":"something on the way ends TLS"}})";
  TestGateway gateway{trusted(), always(http_reply(401, body))};
  const auto site = client_of(gateway.url())->site(kMinute);
  REQUIRE_FALSE(site);
  CHECK(site.error().code() == Errc::Unauthorized);
  CHECK(site.error().text().find("join again") == std::string::npos);
}

TEST_CASE("Client: a gateway that says itself to join again is not repeated", "[cloud_api]") {
  const std::string said =
      "site 'tokyo' of org 'acme' was removed; ask the provider for a new joining string and join again";
  const auto refused_with = [](const std::string& words) {
    const std::string body = R"({"error":{"code":"unauthorized","message":")" + words + R"("}})";
    TestGateway gateway{trusted(), always(http_reply(401, body))};
    const auto site = client_of(gateway.url())->site(kMinute);
    REQUIRE_FALSE(site);
    return site.error().message();
  };
  CHECK(refused_with(said) == "the gateway answered 401: " + said);
  // One that says only why has the advice added.
  CHECK(
      refused_with("this call needs the client certificate of a site").find("; the gateway does not know") !=
      std::string::npos);
}

TEST_CASE("Client: refusals of the gateway become typed errors that carry its sentence", "[cloud_api]") {
  struct Case {
    int status;
    std::string code;
    Errc expected;
  };
  const auto [status, code, expected] =
      GENERATE(Case{400, "usage_invalid", Errc::UsageInvalid}, Case{401, "unauthorized", Errc::Unauthorized},
               Case{401, "joining_string_invalid", Errc::JoiningStringInvalid},
               Case{401, "joining_string_expired", Errc::JoiningStringExpired},
               Case{403, "forbidden", Errc::Forbidden}, Case{404, "not_found", Errc::NotFound},
               Case{404, "unknown_session", Errc::UnknownSession}, Case{409, "conflict", Errc::Conflict},
               Case{302, "", Errc::ReplyInvalid});
  const std::string body =
      R"({"error":{"code":")" + code + R"(","message":"because of\nthis","request_id":"00ff"}})";
  TestGateway gateway{trusted(), always(http_reply(status, body))};
  check_error(client_of(gateway.url())->site(kMinute), expected, "because of this [request 00ff]");
  CHECK(gateway.requests().size() == 1);
}

TEST_CASE("Client: safe calls are repeated three times, with pauses, after a 5xx", "[cloud_api]") {
  TestGateway gateway{trusted(), always(http_reply(500, ""))};
  check_error(client_of(gateway.url())->targets(kMinute), Errc::ServerFailed, "500");
  CHECK(gateway.requests().size() == 4);
}

TEST_CASE("Client: a repeated call succeeds when the gateway has recovered", "[cloud_api]") {
  int calls = 0;
  TestGateway gateway{trusted(), [&calls](const SeenRequest&) {
                        return ++calls < 3 ? std::string{}
                                           : http_reply(200, R"({"targets":[{"name":"dr-db"}]})");
                      }};
  const auto targets = client_of(gateway.url())->targets(kMinute);
  if (!targets) FAIL(targets.error().to_string());
  CHECK(*targets == std::vector<std::string>{"dr-db"});
  CHECK(gateway.requests().size() == 3);
}

TEST_CASE("Client: ending a session is never repeated, and an unknown session has ended", "[cloud_api]") {
  TestGateway failing{trusted(), always(http_reply(503, ""))};
  check_error(client_of(failing.url())->delete_session(SessionId{7}, kMinute), Errc::ServerFailed, "503");
  CHECK(failing.requests().size() == 1);
  CHECK(failing.requests()[0].text.starts_with("DELETE /tunnel/v1/sessions/0000000000000007 "));

  TestGateway gone{trusted(),
                   always(http_reply(404, R"({"error":{"code":"unknown_session","message":"x"}})"))};
  CHECK(client_of(gone.url())->delete_session(SessionId{7}, kMinute));
  TestGateway done{trusted(), always("HTTP/1.1 204 No Content\r\n\r\n")};
  CHECK(client_of(done.url())->delete_session(SessionId{7}, kMinute));
}

TEST_CASE("Client: Retry-After is honoured, and beyond the deadline it is told instead of waited for",
          "[cloud_api]") {
  int calls = 0;
  TestGateway gateway{trusted(), [&calls](const SeenRequest&) {
                        return ++calls == 1 ? http_reply(503, "", "Retry-After: 1\r\n")
                                            : http_reply(200, kHealthy);
                      }};
  const auto start = std::chrono::steady_clock::now();
  CHECK(client_of(gateway.url())->health(kMinute));
  CHECK(std::chrono::steady_clock::now() - start >= 1s);

  TestGateway draining{trusted(), always(http_reply(503, "", "Retry-After: 120\r\n"))};
  check_error(client_of(draining.url())->health(kMinute), Errc::ServerFailed, "120 s");
  CHECK(draining.requests().size() == 1);
}

TEST_CASE("Client: a gateway that never answers is a timeout", "[cloud_api]") {
  TestGateway gateway{trusted(), always(TestGateway::kNeverAnswer)};
  const auto start = std::chrono::steady_clock::now();
  check_error(client_of(gateway.url())->health(300ms), Errc::TimedOut, "did not answer in time");
  CHECK(std::chrono::steady_clock::now() - start < 30s);
}

TEST_CASE("Client: cancel ends a running call at once, and every later one", "[cloud_api]") {
  TestGateway gateway{trusted(), always(TestGateway::kNeverAnswer)};
  const auto client = client_of(gateway.url());
  const auto start = std::chrono::steady_clock::now();
  std::thread canceller{[&] {
    gateway.wait_for_requests(1);
    client->cancel();
  }};
  const auto health = client->health(kMinute);
  canceller.join();
  check_error(health, Errc::Cancelled, "cancelled");
  CHECK(std::chrono::steady_clock::now() - start < 50s);
  check_error(client->targets(kMinute), Errc::Cancelled, "cancelled");
}

TEST_CASE("Client: what is not an answer of a gateway is ReplyInvalid", "[cloud_api]") {
  const std::string raw =
      GENERATE(std::string{"\x16\x03 garbage\r\n\r\n"}, std::string{"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n"},
               http_reply(200, "not JSON"), http_reply(200, "[]"), http_reply(200, R"({"status":1})"),
               http_reply(200, R"({"status":"ok","version":"1","protocols":{}})"),
               http_reply(200, "{\"status\":\"\xff\xfe\"}"));
  TestGateway gateway{trusted(), always(raw)};
  check_error(client_of(gateway.url())->health(kMinute), Errc::ReplyInvalid, "check that https://localhost");
  CHECK(gateway.requests().size() == 1);
}

TEST_CASE("Client: a reply larger than 1 MiB is given up", "[cloud_api]") {
  TestGateway gateway{trusted(), always(http_reply(200, std::string(8 << 20, ' ')))};
  check_error(client_of(gateway.url())->health(kMinute), Errc::ReplyInvalid, "larger than 1 MiB");
}

TEST_CASE("Client: a server that does not speak TLS 1.3 is TlsFailed", "[cloud_api]") {
  TestGateway plain{{.plain = true}, always("HTTP/1.1 400 Bad Request\r\n\r\n")};
  check_error(client_of(plain.url())->health(kMinute), Errc::TlsFailed, "check");
  auto options = trusted();
  options.max_tls_version = 0x0303;
  TestGateway old{options, always(http_reply(200, kHealthy))};
  check_error(client_of(old.url())->health(kMinute), Errc::TlsFailed, "TLS 1.3");
}

TEST_CASE("Client: enrolment sends secret and request, and reads who the site is", "[cloud_api]") {
  const std::string answer =
      R"({"org":"acme","site":"tokyo","certificate_pem":"C","trust_pem":"T","gateway_url":"https://gw","expires_at":"E"})";
  TestGateway gateway{trusted(), always(http_reply(200, answer))};
  const Bytes secret(32, std::byte{0xAB});
  const auto enrolment = client_of(gateway.url())->enrol(secret, "CSR", kMinute);
  REQUIRE(enrolment);
  CHECK(enrolment->site == "tokyo");
  const auto body = nlohmann::json::parse(gateway.requests().at(0).body());
  CHECK(body["csr_pem"] == "CSR");
  CHECK(body["secret"].get<std::string>().substr(0, 6) == "ababab");
  CHECK(body["secret"].get<std::string>().size() == 64);
}

TEST_CASE("Client: a session grant is read and checked", "[cloud_api]") {
  nlohmann::json grant{{"session_id", "00000000000004d2"},
                       {"session_secret", std::string(64, 'a')},
                       {"resume_deadline_ms", 600'000},
                       {"limits", {{"lanes", 32}, {"streams", 20'000}}}};
  const SessionRequest request{Bytes(16), "0.1.0", "host", 64_MiB};
  SECTION("without and with a lane endpoint") {
    TestGateway plain{trusted(), always(http_reply(201, grant.dump()))};
    const auto session = client_of(plain.url())->create_session(request, kMinute);
    REQUIRE(session);
    CHECK(session->id.value == 0x4d2);
    CHECK(session->secret.size() == 32);
    CHECK(session->resume_deadline == 10min);
    CHECK(session->lane_limit == 32);
    CHECK_FALSE(session->lane_endpoint);
    CHECK(nlohmann::json::parse(plain.requests().at(0).body())["replay_memory_bytes"] == 67'108'864);
    grant["lane_endpoint"] = {{"address", "203.0.113.7:443"}, {"sni", "gw.example.net"}};
    TestGateway other{trusted(), always(http_reply(201, grant.dump()))};
    CHECK(client_of(other.url())->create_session(request, kMinute)->lane_endpoint->sni == "gw.example.net");
  }
  SECTION("a value out of its range is named") {
    grant["session_secret"] = "abc";
    TestGateway gateway{trusted(), always(http_reply(201, grant.dump()))};
    check_error(client_of(gateway.url())->create_session(request, kMinute), Errc::ReplyInvalid,
                "session_secret");
  }
}

TEST_CASE("Client: forwards are reported and read back, streams are listed", "[cloud_api]") {
  const std::string forwards =
      R"({"forwards":[{"name":"dr-db","port":10003,"state":"failed","error":"in use"}]})";
  const std::string streams =
      R"({"streams":[{"id":"7","target":"dr-db","source":"192.0.2.1:4","opened_at":"T","sent_bytes":1,"received_bytes":2}]})";
  TestGateway gateway{trusted(), [&](const SeenRequest& seen) {
                        if (seen.method() == "PUT") return std::string{"HTTP/1.1 204 No Content\r\n\r\n"};
                        return http_reply(
                            200, seen.text.find("/streams") == std::string::npos ? forwards : streams);
                      }};
  const auto client = client_of(gateway.url());
  const std::vector<ReportedForward> ours{{"dr-db", 10003, "failed", "in use"}};
  REQUIRE(client->report_forwards(ours, kMinute));
  CHECK(nlohmann::json::parse(gateway.requests().at(0).body()) == nlohmann::json::parse(forwards));
  const auto listed = client->forwards(kMinute);
  REQUIRE(listed);
  CHECK(*listed == ours);
  const auto open = client->streams(kMinute);
  REQUIRE(open);
  CHECK(open->at(0).received_bytes == 2);
}

TEST_CASE("Client: a host name that is not UTF-8 is sent with replacements instead of failing",
          "[cloud_api]") {
  TestGateway gateway{trusted(), always(http_reply(403, ""))};
  const SessionRequest request{Bytes(16), "0.1.0", "t\xff", 64_MiB};
  check_error(client_of(gateway.url())->create_session(request, kMinute), Errc::Forbidden, "403");
  CHECK(nlohmann::json::parse(gateway.requests().at(0).body())["host_name"] == "t\xEF\xBF\xBD");
}

TEST_CASE("Client: an identity whose key is another's, or a URL that is none, is refused at once",
          "[cloud_api]") {
  const auto one = pki().site("acme", "tokyo");
  const auto other = pki().site("acme", "osaka");
  const auto mixed = Client::create({.gateway_url = "https://gw",
                                     .trust = by_root(),
                                     .identity = ClientIdentity{one.chain_pem, other.key_pem}});
  check_error(mixed, Errc::KeyInvalid, "join again");
  check_error(Client::create({.gateway_url = "http://gw", .trust = by_root()}), Errc::ConfigInvalid,
              "https://HOST");
}
