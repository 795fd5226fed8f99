#include "cloud-gateway/api/api_router.hpp"

#include <catch2/catch.hpp>

#include "certs/enrolment_request.hpp"
#include "certs/joining_string.hpp"
#include "cloud-gateway/control/version.hpp"
#include "tests/unit/gateway/gateway_fixture.hpp"
#include "tunnel-core/daemon/process.hpp"

namespace culvert {

using nlohmann::json;

namespace {

struct ApiFixture : StoreFixture {
  FakeSessions sessions;
  PolicyHub policy;
  WallTime wall = kNoon;
  Instant steady{};
  Enroller enroller{store, policy, sites_authority(), "https://gw.example.net:443"};
  ApiRouter router{store, policy, enroller, sessions, {[this] { return wall; }, [this] { return steady; }}};
  certs::PrivateKey key = must(certs::PrivateKey::generate());

  static certs::Authority sites_authority() {
    const auto root = must(certs::Authority::create_root("Root of a test", kNoon));
    return must(certs::Authority::create_issuing(root, certs::Purpose::Sites, kNoon));
  }

  ApiRequest request(const std::string& method, const std::string& where, std::string body = {}) const {
    ApiRequest request;
    request.method = method;
    request.path = where;
    request.body = std::move(body);
    request.peer_address = "192.0.2.1";
    request.request_id = "00000000000000aa";
    return request;
  }
  ApiResponse call(const std::string& method, const std::string& where, std::string body = {}) {
    return router.handle(request(method, where, std::move(body)));
  }
  /// The same with the certificate of acme/tokyo.
  ApiResponse site_call(const std::string& method, const std::string& where, const json& body = nullptr) {
    ApiRequest asked = request(method, where, body.is_null() ? std::string{} : body.dump());
    asked.identity = SiteCertificate{"01", {"acme", "tokyo"}};
    return router.handle(asked);
  }
  void enrol_tokyo() {
    add_org_with_token("acme", "tokyo", "aa");
    must(enrol("aa", "key", "01"));
    must(policy.rebuild(store));
  }
  /// A joining token for acme/tokyo; returns its secret.
  std::string invite(const std::string& site = "tokyo") {
    const auto secret = certs::new_joining_secret();
    must(store.add_joining_token(
        {certs::joining_secret_hash(secret), "acme", site, kNoon + std::chrono::hours{24}}, admin()));
    return to_hex(secret);
  }
  std::string enrolment(const std::string& secret, const certs::PrivateKey& with) const {
    return json{{"secret", secret}, {"csr_pem", must(certs::EnrolmentRequest::make(with)).pem()}}.dump();
  }
};

std::string header(const ApiResponse& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

std::string code_of(const ApiResponse& response) {
  return response.body.at("error").at("code").get<std::string>();
}

json session_body(const std::string& instance = std::string(32, 'a')) {
  return {{"instance_id", instance},
          {"agent_version", "0.1.0"},
          {"host_name", "esx"},
          {"replay_memory_bytes", 1 << 26}};
}

}  // namespace

TEST_CASE("Api: health is for everybody and tells when the gateway drains", "[api]") {
  ApiFixture fixture;
  auto response = fixture.call("GET", "/tunnel/v1/health?verbose");
  CHECK(response.status == 200);
  CHECK(response.body ==
        json{{"status", "ok"}, {"version", kVersion}, {"protocols", {1}}, {"time", "2026-11-21T12:00:00Z"}});
  CHECK(header(response, "Culvert-Request-Id") == "00000000000000aa");
  fixture.sessions.live.draining = true;
  CHECK(fixture.call("GET", "/tunnel/v1/health").body["status"] == "draining");
}

TEST_CASE("Api: a path nobody knows is 404, a wrong method 405 with what is allowed", "[api]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  for (const char* path :
       {"/", "/tunnel/v1", "/tunnel/v1/health/", "/tunnel/v2/health", "/tunnel/v1/sessions/a/b", ""}) {
    INFO(path);
    CHECK(fixture.call("GET", path).status == 404);
  }
  const auto refused = fixture.call("POST", "/tunnel/v1/health");
  CHECK(refused.status == 405);
  CHECK(header(refused, "Allow") == "GET");
  CHECK(code_of(refused) == "usage_invalid");
  CHECK(header(fixture.site_call("DELETE", "/tunnel/v1/forwards"), "Allow") == "GET, PUT");
}

TEST_CASE("Api: a site's calls need a certificate that the store knows", "[api]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  for (const char* path :
       {"/tunnel/v1/site", "/tunnel/v1/targets", "/tunnel/v1/forwards", "/tunnel/v1/streams"}) {
    INFO(path);
    CHECK(fixture.call("GET", path).status == 401);
    CHECK(fixture.site_call("GET", path).status == 200);
  }
  must(fixture.store.remove_site("acme", "tokyo", admin()));
  must(fixture.policy.rebuild(fixture.store));
  for (const char* path : {"/tunnel/v1/site", "/tunnel/v1/health"}) {
    const auto refused = fixture.site_call("GET", path);
    CHECK(refused.status == 401);
    CHECK(code_of(refused) == "access_revoked");
    CHECK(refused.body["error"]["request_id"] == "00000000000000aa");
  }
}

TEST_CASE("Api: an enrolment gives a certificate that is in force at once", "[api][enrolment]") {
  ApiFixture fixture;
  must(fixture.store.add_org("acme", admin()));
  const auto secret = fixture.invite();
  const auto response = fixture.call("POST", "/tunnel/v1/enrolments", fixture.enrolment(secret, fixture.key));
  INFO(response.body.dump());
  REQUIRE(response.status == 200);
  CHECK(response.body["org"] == "acme");
  CHECK(response.body["site"] == "tokyo");
  CHECK(response.body["gateway_url"] == "https://gw.example.net:443");

  const auto chain = must(certs::chain_from_pem(response.body["certificate_pem"].get<std::string>()));
  REQUIRE(chain.size() == 2);
  CHECK(chain[0].matches(fixture.key));
  CHECK(response.body["expires_at"] == certs::utc_text(chain[0].not_after()));
  const auto root = must(certs::Certificate::from_pem(response.body["trust_pem"].get<std::string>()));
  const auto identity = must(certs::verify_site(chain, certs::PinnedRoots{{root}}, kNoon));
  CHECK(fixture.policy.current()->authorise_site({chain[0].serial(), identity}, kNoon));
  CHECK(fixture.sessions.ended.size() == 1);
}

TEST_CASE("Api: a lost enrolment reply can be asked for again, and nobody else's key gets it",
          "[api][enrolment]") {
  ApiFixture fixture;
  must(fixture.store.add_org("acme", admin()));
  const auto secret = fixture.invite();
  const auto first = fixture.call("POST", "/tunnel/v1/enrolments", fixture.enrolment(secret, fixture.key));
  const auto again = fixture.call("POST", "/tunnel/v1/enrolments", fixture.enrolment(secret, fixture.key));
  REQUIRE(again.status == 200);
  CHECK(again.body == first.body);
  CHECK(fixture.sessions.ended.size() == 1);

  const auto stranger = must(certs::PrivateKey::generate());
  const auto refused = fixture.call("POST", "/tunnel/v1/enrolments", fixture.enrolment(secret, stranger));
  CHECK(refused.status == 401);
  CHECK(code_of(refused) == "joining_string_invalid");

  fixture.wall += std::chrono::hours{25};
  const auto late = fixture.call("POST", "/tunnel/v1/enrolments", fixture.enrolment(secret, fixture.key));
  CHECK(late.status == 401);
  CHECK(code_of(late) == "joining_string_expired");
}

TEST_CASE("Api: the eleventh failed enrolment within a minute is not looked at", "[api][enrolment]") {
  ApiFixture fixture;
  must(fixture.store.add_org("acme", admin()));
  const auto good = fixture.enrolment(fixture.invite(), fixture.key);
  const auto wrong = fixture.enrolment(std::string(64, '0'), fixture.key);
  for (int i = 0; i < 10; ++i) CHECK(fixture.call("POST", "/tunnel/v1/enrolments", wrong).status == 401);
  const auto limited = fixture.call("POST", "/tunnel/v1/enrolments", good);
  CHECK(limited.status == 429);
  CHECK(header(limited, "Retry-After") == "60");

  ApiRequest elsewhere = fixture.request("POST", "/tunnel/v1/enrolments", good);
  elsewhere.peer_address = "192.0.2.2";
  CHECK(fixture.router.handle(elsewhere).status == 200);
  fixture.steady += std::chrono::minutes{1};
  CHECK(fixture.call("POST", "/tunnel/v1/enrolments", good).status == 200);
}

TEST_CASE("Api: a body that is no request is 400 and says which key", "[api]") {
  ApiFixture fixture;
  const auto [body, key] = GENERATE(table<std::string, std::string>({
      {"", "JSON object"},
      {"[]", "JSON object"},
      {"{", "JSON object"},
      {"{\"secret\": \"\xff\"}", "JSON object"},
      {"{}", "'secret'"},
      {R"({"secret": 7})", "'secret'"},
      {R"({"secret": "ab"})", "'csr_pem'"},
      {R"({"secret": "ab", "csr_pem": "x"})", "'secret' must be 64"},
      {R"({"secret": ")" + std::string(65, 'a') + R"("})", "'secret' is longer"},
      {R"({"secret": ")" + std::string(64, 'a') + R"(", "csr_pem": "no request"})", "'csr_pem'"},
      {std::string(30'000, '[') + std::string(30'000, ']'), "JSON object"},
  }));
  INFO(body.substr(0, 100));
  const auto refused = fixture.call("POST", "/tunnel/v1/enrolments", body);
  CHECK(refused.status == 400);
  CHECK(code_of(refused) == "usage_invalid");
  CHECK_THAT(refused.body["error"]["message"].get<std::string>(), Catch::Contains(key));
}

TEST_CASE("Api: a body over 64 KiB is 413, whoever counted", "[api]") {
  ApiFixture fixture;
  CHECK(fixture.call("POST", "/tunnel/v1/enrolments", std::string(kMaxApiBody + 1, ' ')).status == 413);
  ApiRequest counted = fixture.request("POST", "/tunnel/v1/enrolments");
  counted.body_too_large = true;
  CHECK(fixture.router.handle(counted).status == 413);
}

TEST_CASE("Api: a site sees itself and the names of its org's targets, not their addresses", "[api]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  must(fixture.store.add_target({"acme", "db", "db.internal", 5432, false}, admin()));
  must(fixture.store.add_org("other", admin()));
  must(fixture.store.add_target({"other", "theirs", "db.other", 5432, false}, admin()));
  must(fixture.policy.rebuild(fixture.store));
  CHECK(fixture.site_call("GET", "/tunnel/v1/targets").body == json{{"targets", {{{"name", "db"}}}}});
  const auto site = fixture.site_call("GET", "/tunnel/v1/site").body;
  CHECK(site["org"] == "acme");
  CHECK(site["site"] == "tokyo");
  CHECK(site["certificate_expires_at"] == "2027-02-19T12:00:00Z");
  CHECK(site["gateway_version"] == kVersion);
}

TEST_CASE("Api: reported forwards are kept and come back", "[api]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  const json forwards{
      {"forwards",
       {{{"name", "db"}, {"port", 10000}, {"state", "listening"}, {"error", ""}},
        {{"name", "nbd"}, {"port", 10001}, {"state", "failed"}, {"error", "port 10001 is in use"}}}}};
  CHECK(fixture.site_call("PUT", "/tunnel/v1/forwards", forwards).status == 200);
  CHECK(fixture.site_call("GET", "/tunnel/v1/forwards").body == forwards);
  CHECK(fixture.site_call("PUT", "/tunnel/v1/forwards", json{{"forwards", json::array()}}).status == 200);
  CHECK(fixture.site_call("GET", "/tunnel/v1/forwards").body == json{{"forwards", json::array()}});
}

TEST_CASE("Api: a report with a mistake replaces nothing", "[api]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  const json good{{"forwards", {{{"name", "db"}, {"port", 10000}, {"state", "listening"}}}}};
  REQUIRE(fixture.site_call("PUT", "/tunnel/v1/forwards", good).status == 200);
  const json entry = good["forwards"][0];
  json bad_port = entry;
  bad_port["port"] = 65536;
  json bad_state = entry;
  bad_state["state"] = "dancing";
  json bad_name = entry;
  bad_name["name"] = "../db";
  for (const json& list :
       {json{bad_port}, json{bad_state}, json{bad_name}, json{entry, entry}, json{7}, json(1001, entry)}) {
    INFO(list.dump().substr(0, 200));
    CHECK(fixture.site_call("PUT", "/tunnel/v1/forwards", json{{"forwards", list}}).status == 400);
  }
  CHECK(fixture.site_call("GET", "/tunnel/v1/forwards").body["forwards"].size() == 1);
}

TEST_CASE("Api: a session is granted with its secret, limits and endpoint", "[api][session]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  auto response = fixture.site_call("POST", "/tunnel/v1/sessions", session_body());
  CHECK(response.status == 201);
  CHECK(response.body["session_id"] == "00000000000004d2");
  CHECK(response.body["session_secret"].get<std::string>().size() == 64);
  CHECK(response.body["resume_deadline_ms"] == 600'000);
  CHECK(response.body["limits"] == json{{"lanes", 32}, {"streams", 20'000}});
  CHECK_FALSE(response.body.contains("lane_endpoint"));
  REQUIRE(fixture.sessions.created.size() == 1);
  CHECK(fixture.sessions.created[0].first == certs::SiteIdentity{"acme", "tokyo"});
  CHECK(fixture.sessions.created[0].second.replay_memory == 64_MiB);
  CHECK(fixture.sessions.created[0].second.instance_id[0] == std::byte{0xaa});

  fixture.sessions.endpoint = LaneEndpoint{"203.0.113.7:443", "gw.example.net"};
  response = fixture.site_call("POST", "/tunnel/v1/sessions", session_body());
  CHECK(response.body["lane_endpoint"] == json{{"address", "203.0.113.7:443"}, {"sni", "gw.example.net"}});
}

TEST_CASE("Api: a session request with a wrong or missing key makes no session", "[api][session]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  const auto [key, value] = GENERATE(table<std::string, json>({{"instance_id", "aa"},
                                                               {"instance_id", std::string(32, 'x')},
                                                               {"instance_id", nullptr},
                                                               {"agent_version", std::string(65, '1')},
                                                               {"host_name", "a\nb"},
                                                               {"replay_memory_bytes", -1},
                                                               {"replay_memory_bytes", 1.5},
                                                               {"replay_memory_bytes", "1"}}));
  json body = session_body();
  body[key] = value;
  INFO(body.dump());
  const auto refused = fixture.site_call("POST", "/tunnel/v1/sessions", body);
  CHECK(refused.status == 400);
  CHECK_THAT(refused.body["error"]["message"].get<std::string>(), Catch::Contains(key));
  CHECK(fixture.sessions.created.empty());
}

TEST_CASE("Api: a draining gateway answers 503 with when to come back", "[api][session]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  fixture.sessions.refuse = Error{Errc::ShuttingDown, "the gateway is shutting down"};
  const auto refused = fixture.site_call("POST", "/tunnel/v1/sessions", session_body());
  CHECK(refused.status == 503);
  CHECK(code_of(refused) == "shutting_down");
  CHECK(header(refused, "Retry-After") == "5");
}

TEST_CASE("Api: an inner failure is 500 and keeps its details for the log", "[api]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  fixture.sessions.refuse = Error{Errc::StoreFailed, "secret path /etc/culvert"};
  const auto refused = fixture.site_call("POST", "/tunnel/v1/sessions", session_body());
  CHECK(refused.status == 500);
  CHECK(code_of(refused) == "internal_error");
  CHECK_THAT(refused.body.dump(), !Catch::Contains("secret path") && Catch::Contains("00000000000000aa"));
}

TEST_CASE("Api: a session is deleted by its site only", "[api][session]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  const auto deleted = fixture.site_call("DELETE", "/tunnel/v1/sessions/00000000000004d2");
  CHECK(deleted.status == 204);
  CHECK(deleted.body_text().empty());
  for (const char* id : {"00000000000004d3", "4d2", "00000000000004D2", "00000000000004d2x"}) {
    INFO(id);
    const auto refused = fixture.site_call("DELETE", "/tunnel/v1/sessions/" + std::string{id});
    CHECK(refused.status == 404);
    CHECK(code_of(refused) == "unknown_session");
  }
}

TEST_CASE("Api: streams are listed with what they moved, a thousand at most", "[api]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  fixture.sessions.streams.assign(1200, {StreamId{2}, "db", "10.0.0.1:5000", kNoon, 10, 20});
  const auto streams = fixture.site_call("GET", "/tunnel/v1/streams").body["streams"];
  CHECK(streams.size() == 1000);
  CHECK(streams[0] == json{{"id", 2},
                           {"target", "db"},
                           {"source", "10.0.0.1:5000"},
                           {"opened_at", "2026-11-21T12:00:00Z"},
                           {"sent_bytes", 10},
                           {"received_bytes", 20}});
}

TEST_CASE("Api: two agents that alternate under one identity are audited as a clone, once",
          "[api][session]") {
  ApiFixture fixture;
  fixture.enrol_tokyo();
  const std::string a(32, 'a');
  const std::string b(32, 'b');
  for (const auto& instance : {a, b, a, b, a, b, a, b}) {
    fixture.steady += std::chrono::seconds{10};
    REQUIRE(fixture.site_call("POST", "/tunnel/v1/sessions", session_body(instance)).status == 201);
  }
  const auto entries = must(fixture.store.list_audit(100));
  CHECK(std::count_if(entries.begin(), entries.end(),
                      [](const AuditEntry& entry) { return entry.action == "site.cloned_identity"; }) == 1);
}

TEST_CASE("Api: only GET on a session's lanes is a lane request", "[api]") {
  CHECK(ApiRouter::is_lane_request("GET", "/tunnel/v1/sessions/00000000000004d2/lanes"));
  CHECK(ApiRouter::is_lane_request("GET", "/tunnel/v1/sessions/x/lanes?y"));
  CHECK_FALSE(ApiRouter::is_lane_request("POST", "/tunnel/v1/sessions/00000000000004d2/lanes"));
  CHECK_FALSE(ApiRouter::is_lane_request("GET", "/tunnel/v1/sessions/lanes"));
  CHECK_FALSE(ApiRouter::is_lane_request("GET", "/tunnel/v1/sessions/a/b/lanes"));
  CHECK(must(ApiRouter::session_of_path("/tunnel/v1/sessions/00000000000004d2/lanes")) == SessionId{0x4d2});
  CHECK(ApiRouter::session_of_path("/tunnel/v1/sessions/x/lanes").error().code() == Errc::UnknownSession);
}

}  // namespace culvert
