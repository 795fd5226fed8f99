#include "tunnel-agent/join.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "certs/joining_string.hpp"
#include "certs/key_store.hpp"
#include "tests/unit/cloud_api/support/test_gateway.hpp"
#include "tests/unit/gateway/temp_dir.hpp"
#include "tunnel-agent/config.hpp"

using namespace culvert;
using culvert::test::http_reply;
using culvert::test::SeenRequest;
using culvert::test::TestGateway;
using culvert::test::TestPki;
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

const TestPki& pki() {
  static const TestPki made = TestPki::make();
  return made;
}

/// A gateway that signs what it is asked to, unless `enrol` answers first.
struct SigningGateway {
  explicit SigningGateway(std::function<std::string(int attempt)> enrol_first = {})
      : server({.credentials = pki().server({"localhost"})}, [this, enrol_first](const SeenRequest& seen) {
          if (seen.method() == "GET") {
            return http_reply(200, R"({"status":"ok","version":"1","protocols":[1]})");
          }
          const int attempt = ++enrolments;
          const std::string refusal = enrol_first ? enrol_first(attempt) : "sign";
          return refusal == "sign" ? sign(seen) : refusal;
        }) {}

  std::string sign(const SeenRequest& seen) const {
    const auto request =
        certs::EnrolmentRequest::from_pem(json::parse(seen.body())["csr_pem"].get<std::string>());
    const auto leaf = pki().sites.issue_site({org, "tokyo"}, request->public_key(), certs::utc_now());
    return http_reply(200, json{{"org", org},
                                {"site", "tokyo"},
                                {"certificate_pem", certs::chain_to_pem(pki().sites.chain_below(*leaf))},
                                {"trust_pem", pki().root.certificate().to_pem()},
                                {"gateway_url", server.url()},
                                {"expires_at", "2027-01-01T00:00:00Z"}}
                               .dump());
  }

  std::string joining_string(certs::UtcTime expires = certs::utc_now() + certs::days(1)) const {
    certs::JoiningString joining;
    joining.gateway_url = server.url();
    joining.trust = certs::JoiningString::TrustKind::RootFingerprint;
    joining.root_fingerprint = pki().root.certificate().thumbprint();
    joining.org = "acme";
    joining.site = "tokyo";
    joining.expires_at = expires;
    joining.secret = certs::new_joining_secret();
    return joining.encode().value();
  }

  std::string org = "acme";
  std::atomic<int> enrolments = 0;
  TestGateway server;
};

unsigned mode_of(const fs::path& file) {
  struct stat status {};
  return ::stat(file.c_str(), &status) == 0 ? status.st_mode & 0777 : 0;
}

std::string refusal(int status, const char* code) {
  return http_reply(status, json{{"error", {{"code", code}, {"message", "no"}}}}.dump());
}

}  // namespace

TEST_CASE("Join: a directory the agent can run from, readable by its owner only", "[agent]") {
  SigningGateway gateway;
  const TempDir dir;
  const fs::path data = dir / "var/agent";
  const auto joined = join_gateway(gateway.joining_string(), data, certs::utc_now());
  if (!joined) FAIL(joined.error().to_string());
  CHECK(joined->org == "acme");
  CHECK(joined->config_file == data / "agent.toml");
  CHECK(mode_of(data) == 0700);
  for (const char* name : {"site.key", "site.pem", "trust.pem", "agent.toml"})
    CHECK(mode_of(data / name) == 0600);
  CHECK_FALSE(fs::exists(data / "joining.key"));
  const auto config = load_config(data / "agent.toml");
  if (!config) FAIL(config.error().to_string());
  const auto pair = certs::load_pair(data, "site");
  if (!pair) FAIL(pair.error().to_string());
  CHECK(load_identity(*config));
}

TEST_CASE("Join: a directory in use is refused and left as it was", "[agent]") {
  SigningGateway gateway;
  const TempDir dir;
  std::ofstream{dir / "agent.toml"} << "mine";
  const auto joined = join_gateway(gateway.joining_string(), dir.path(), certs::utc_now());
  REQUIRE_FALSE(joined);
  CHECK(joined.error().code() == Errc::AlreadyExists);
  CHECK(gateway.server.connections() == 0);
  CHECK(std::distance(fs::directory_iterator{dir.path()}, fs::directory_iterator{}) == 1);
}

TEST_CASE("Join: an agent's directory is left as it was, and the refusal says how to join again", "[agent]") {
  SigningGateway gateway;
  const TempDir dir;
  REQUIRE(join_gateway(gateway.joining_string(), dir.path(), certs::utc_now()));
  fs::create_directory(dir / "forwards.d");
  std::ofstream{dir / "depot.json"} << "{}";
  const auto read_key = [&] { return certs::load_key(dir / "site.key").value().to_pem(); };
  const std::string before{read_key().view()};
  const auto refused = join_gateway(gateway.joining_string(), dir.path(), certs::utc_now());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Errc::AlreadyExists);
  CHECK_THAT(refused.error().message(), Catch::Contains("join with --data " + (dir / "new").string()) &&
                                            Catch::Contains("move site.key, site.pem and trust.pem") &&
                                            Catch::Contains("'Joining again'"));
  CHECK(std::string{read_key().view()} == before);
  CHECK(join_gateway(gateway.joining_string(), dir / "new", certs::utc_now()));
}

TEST_CASE("Join: an expired or damaged string fails before anything is touched", "[agent]") {
  SigningGateway gateway;
  const TempDir dir;
  const auto expired = join_gateway(gateway.joining_string(certs::utc_now() - std::chrono::hours{1}),
                                    dir / "d", certs::utc_now());
  REQUIRE_FALSE(expired);
  CHECK(expired.error().code() == Errc::JoiningStringExpired);
  CAPTURE(expired.error().to_string());
  CHECK(expired.error().message().find("clock") != std::string::npos);
  std::string damaged = gateway.joining_string();
  damaged[40] = damaged[40] == 'A' ? 'B' : 'A';
  const auto wrong = join_gateway(damaged, dir / "d", certs::utc_now());
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code() == Errc::JoiningStringInvalid);
  CHECK(wrong.error().to_string().find(damaged.substr(13, 20)) == std::string::npos);
  CHECK_FALSE(fs::exists(dir / "d"));
  CHECK(gateway.server.connections() == 0);
}

TEST_CASE("Join: a refusal, an unbelievable gateway or none leaves nothing behind", "[agent]") {
  const TempDir dir;
  const fs::path data = dir / "new/agent";
  std::string text;
  {
    SigningGateway gateway{[](int) { return refusal(401, "joining_string_invalid"); }};
    text = gateway.joining_string();
    const auto refused = join_gateway(text, data, certs::utc_now());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::JoiningStringInvalid);
    CHECK_FALSE(fs::exists(dir / "new"));
  }
  const auto gone = join_gateway(text, data, certs::utc_now());
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code() == Errc::ConnectionRefused);
  CHECK_FALSE(fs::exists(dir / "new"));

  SigningGateway other_site;
  other_site.org = "evil";
  const auto wrong = join_gateway(other_site.joining_string(), data, certs::utc_now());
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code() == Errc::ReplyInvalid);
  CHECK(wrong.error().message().find("not for acme/tokyo") != std::string::npos);
  CHECK_FALSE(fs::exists(dir / "new"));
}

TEST_CASE("Join: an existing empty directory stays, and stays empty, when the join fails", "[agent]") {
  SigningGateway gateway{[](int) { return refusal(403, "forbidden"); }};
  const TempDir dir;
  CHECK_FALSE(join_gateway(gateway.joining_string(), dir.path(), certs::utc_now()));
  CHECK(fs::is_empty(dir.path()));
}

TEST_CASE("Join: after a lost reply the same command goes on with the same key", "[agent]") {
  const TempDir dir;
  std::vector<std::string> keys;
  // Every answer of the first run is lost, its repetitions included.
  std::atomic<bool> lost_on_the_way = true;
  SigningGateway gateway{[&](int) { return lost_on_the_way ? std::string{} : std::string{"sign"}; }};
  const std::string text = gateway.joining_string();
  const auto lost = join_gateway(text, dir / "d", certs::utc_now());
  REQUIRE_FALSE(lost);
  CHECK(lost.error().message().find("repeat the same command") != std::string::npos);
  CHECK(mode_of(dir / "d/joining.key") == 0600);
  lost_on_the_way = false;

  const auto joined = join_gateway(text, dir / "d", certs::utc_now());
  if (!joined) FAIL(joined.error().to_string());
  for (const SeenRequest& seen : gateway.server.requests()) {
    if (seen.method() != "POST") continue;
    const auto request =
        certs::EnrolmentRequest::from_pem(json::parse(seen.body())["csr_pem"].get<std::string>());
    keys.push_back(certs::thumbprint_text(request->key_fingerprint()));
  }
  REQUIRE(keys.size() >= 2);
  CHECK(std::equal(keys.begin() + 1, keys.end(), keys.begin()));
  CHECK_FALSE(fs::exists(dir / "d/joining.key"));
}
