#include "cloud-gateway/control/admin_service.hpp"

#include <catch2/catch.hpp>
#include <regex>

#include "cloud-gateway/control/version.hpp"
#include "tests/unit/gateway/gateway_fixture.hpp"

namespace culvert {

using nlohmann::json;

namespace {

struct AdminFixture : StoreFixture {
  FakeSessions sessions;
  int changes = 0;
  std::optional<Error> change_fails;
  AdminService service{store, terms(), hooks(), [] { return kNoon; }};

  static JoiningTerms terms() {
    JoiningTerms terms;
    terms.gateway_url = "https://gw.example.net:443";
    terms.root_fingerprint.fill(std::byte{7});
    return terms;
  }
  AdminHooks hooks() {
    return {[this]() -> Result<void> {
              ++changes;
              if (change_fails) return *change_fails;
              return {};
            },
            [this](const certs::SiteIdentity& identity, Errc why) { sessions.end_site(identity, why); },
            [this] { return sessions.live_status(); }};
  }
  Result<json> run(const std::string& command, const json& arguments = json::object()) {
    return service.execute({command, arguments, 1000});
  }
};

}  // namespace

TEST_CASE("AdminService: an argument that is missing or empty is named as help shows it", "[admin]") {
  AdminFixture fixture;
  for (const std::string command : {"org.add", "limit.set"}) {
    const auto refused = fixture.run(command, {{"org", ""}});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::UsageInvalid);
    CHECK_THAT(refused.error().message(),
               Catch::StartsWith("ORG is missing or empty; see 'culvert-gateway "));
  }
}

TEST_CASE("AdminService: orgs and targets are added, listed in order and removed", "[admin]") {
  AdminFixture fixture;
  must(fixture.run("org.add", {{"org", "beta"}}));
  must(fixture.run("org.add", {{"org", "acme"}}));
  must(fixture.run("target.add", {{"org", "acme"}, {"target", "db"}, {"address", "[::1]:5432"}}));
  must(fixture.run("target.add", {{"org", "acme"}, {"target", "app"}, {"address", "app.internal:80"}}));

  const json orgs = must(fixture.run("org.list"));
  REQUIRE(orgs.at("orgs").size() == 2);
  CHECK(orgs["orgs"][0] ==
        json{{"name", "acme"}, {"created_at", "2026-11-21T12:00:00Z"}, {"sites", 0}, {"targets", 2}});
  const json targets = must(fixture.run("target.list", {{"org", "acme"}}));
  CHECK(targets["targets"][0]["name"] == "app");
  CHECK(targets["targets"][1] ==
        json{{"org", "acme"}, {"name", "db"}, {"address", "[::1]:5432"}, {"address_permitted", true}});

  must(fixture.run("target.remove", {{"org", "acme"}, {"target", "db"}}));
  CHECK(must(fixture.run("target.list"))["targets"].size() == 1);
  CHECK(fixture.changes == 5);
}

TEST_CASE("AdminService: a change is audited with the caller's uid", "[admin][audit]") {
  AdminFixture fixture;
  must(fixture.run("org.add", {{"org", "acme"}}));
  const auto entries = must(fixture.store.list_audit(10));
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].actor == "uid:1000");
  CHECK(entries[0].action == "org.add");
  CHECK(entries[0].object == "acme");
  CHECK(entries[0].time == kNoon);
}

TEST_CASE("AdminService: what cannot be is refused with what to do, and changes nothing", "[admin]") {
  AdminFixture fixture;
  must(fixture.run("org.add", {{"org", "acme"}}));
  must(fixture.run("target.add", {{"org", "acme"}, {"target", "db"}, {"address", "db:1"}}));
  const int before = fixture.changes;
  CHECK(fixture.run("org.add", {{"org", "acme"}}).error().code() == Errc::AlreadyExists);
  CHECK(fixture.run("org.add", {{"org", "Bad Name"}}).error().code() == Errc::UsageInvalid);
  CHECK(fixture.run("org.add").error().code() == Errc::UsageInvalid);
  CHECK(fixture.run("org.add", {{"org", 7}}).error().code() == Errc::UsageInvalid);
  CHECK(fixture.run("org.add", json::array()).error().code() == Errc::UsageInvalid);
  CHECK(fixture.run("org.remove", {{"org", "beta"}}).error().code() == Errc::NotFound);
  CHECK(fixture.run("target.add", {{"org", "acme"}, {"target", "db"}, {"address", "db:2"}}).error().code() ==
        Errc::AlreadyExists);
  CHECK(
      fixture.run("target.add", {{"org", "acme"}, {"target", "../x"}, {"address", "db:2"}}).error().code() ==
      Errc::UsageInvalid);
  CHECK(fixture.run("target.remove", {{"org", "acme"}, {"target", "nothing"}}).error().code() ==
        Errc::NotFound);
  CHECK(fixture.run("site.remove", {{"org", "acme"}, {"site", "tokyo"}}).error().code() == Errc::NotFound);
  CHECK(fixture.run("explode").error().code() == Errc::UsageInvalid);
  const auto no_org = fixture.run("join-token", {{"org", "beta"}, {"site", "tokyo"}});
  CHECK(no_org.error().code() == Errc::NotFound);
  CHECK_THAT(no_org.error().message(), Catch::Contains("culvert-gateway org add beta"));
  CHECK(fixture.changes == before);
  CHECK(must(fixture.store.verify_audit()) == 2);
}

TEST_CASE("AdminService: a joining string holds what an agent needs and its secret is stored as a hash",
          "[admin]") {
  AdminFixture fixture;
  must(fixture.run("org.add", {{"org", "acme"}}));
  const json result = must(fixture.run("join-token", {{"org", "acme"}, {"site", "tokyo"}}));
  const auto text = result.at("joining_string").get<std::string>();
  CHECK(std::regex_match(text, std::regex{"^culvert-join-[A-Za-z0-9_-]+$"}));
  CHECK(result.at("expires_at") == "2026-11-22T12:00:00Z");

  const auto joining = must(certs::JoiningString::decode(text));
  CHECK(joining.gateway_url == "https://gw.example.net:443");
  CHECK(joining.org == "acme");
  CHECK(joining.site == "tokyo");
  CHECK(joining.expires_at == kNoon + std::chrono::hours{24});
  CHECK(joining.root_fingerprint == AdminFixture::terms().root_fingerprint);
  CHECK(must(fixture.enrol(certs::joining_secret_hash(joining.secret), "key", "01")).site == "tokyo");

  // The site is new once; a second string for it is another one.
  const json second = must(fixture.run("join-token", {{"org", "acme"}, {"site", "tokyo"}}));
  CHECK(second.at("joining_string") != result.at("joining_string"));
  CHECK(must(fixture.run("site.list"))["sites"].size() == 1);
}

TEST_CASE("AdminService: removing a site or its org ends its sessions", "[admin]") {
  AdminFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  must(fixture.store.add_joining_token({"bb", "acme", "oslo", kNoon + std::chrono::hours{1}}, admin()));
  must(fixture.run("site.remove", {{"org", "acme"}, {"site", "tokyo"}}));
  REQUIRE(fixture.sessions.ended.size() == 1);
  CHECK(fixture.sessions.ended[0] == std::pair{certs::SiteIdentity{"acme", "tokyo"}, Errc::AccessRevoked});

  CHECK(must(fixture.run("org.remove", {{"org", "acme"}}))["sites"] == json::array({"oslo"}));
  REQUIRE(fixture.sessions.ended.size() == 2);
  CHECK(fixture.sessions.ended[1].first == certs::SiteIdentity{"acme", "oslo"});
}

TEST_CASE("AdminService: a change that could not be put into force says that it is stored", "[admin]") {
  AdminFixture fixture;
  fixture.change_fails = Error{Errc::StoreFailed, "the disk is gone"};
  const auto added = fixture.run("org.add", {{"org", "acme"}});
  REQUIRE_FALSE(added);
  CHECK_THAT(added.error().message(), Catch::Contains("is stored, but not yet in force"));
  CHECK(must(fixture.store.list_orgs()).size() == 1);
}

TEST_CASE("AdminService: sites show their session and their certificate", "[admin]") {
  AdminFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  must(fixture.store.add_joining_token({"bb", "acme", "oslo", kNoon + std::chrono::hours{1}}, admin()));
  must(fixture.enrol("aa", "key", "01"));
  json sites = must(fixture.run("site.list", {{"org", "acme"}}))["sites"];
  CHECK(sites[0]["name"] == "oslo");
  CHECK(sites[0]["state"] == "not enrolled");
  CHECK(sites[0]["certificate_expires_at"].is_null());
  CHECK(sites[1]["state"] == "down");
  CHECK(sites[1]["certificate_expires_at"] == "2027-02-19T12:00:00Z");

  fixture.sessions.live.sessions.push_back({{"acme", "tokyo"}, SessionId{1}, "up", kNoon});
  sites = must(fixture.run("site.list"))["sites"];
  CHECK(sites[1]["state"] == "up");
}

TEST_CASE("AdminService: status tells sessions, streams, uptime and whether the audit log is intact",
          "[admin]") {
  AdminFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  LiveStatus& live = fixture.sessions.live;
  live.listen = {"0.0.0.0:443"};
  live.started_at = kNoon - std::chrono::seconds{90};
  live.streams_opened_total = 9;
  live.streams_reset_total = 1;
  live.sessions.push_back({{"acme", "tokyo"}, SessionId{0x4d2}, "stalled", kNoon, 0, 5, 100, 200});

  json status = must(fixture.run("status"));
  CHECK(status["version"] == kVersion);
  CHECK(status["uptime_s"] == 90);
  CHECK(status["state"] == "running");
  CHECK(status["orgs"] == 1);
  CHECK(status["sites"] == 1);
  CHECK(status["sessions"][0]["id"] == "00000000000004d2");
  CHECK(status["sessions"][0]["state"] == "stalled");
  CHECK(status["streams"] == json{{"open", 5}, {"opened_total", 9}, {"reset_total", 1}});
  CHECK(status["audit"] == json{{"entries", 2}, {"intact", true}});

  run_sql(fixture.path, "UPDATE audit SET actor = 'nobody' WHERE seq = 1");
  status = must(fixture.run("status"));
  CHECK(status["audit"]["intact"] == false);
  CHECK_THAT(status["audit"]["error"].get<std::string>(), Catch::Contains("entry 1 was changed"));
}

TEST_CASE("AdminService: limits are set, listed, shown in status and removed", "[admin]") {
  AdminFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  must(fixture.run("target.add", {{"org", "acme"}, {"target", "dr-db"}, {"address", "db.example.net:5432"}}));
  must(fixture.run("limit.set", {{"org", "acme"}, {"up", "500 Mbit/s"}}));
  must(fixture.run("limit.set", {{"org", "acme"}, {"down", "1 Gbit/s"}, {"lanes", "4"}}));
  must(fixture.run("limit.set", {{"org", "acme"},
                                 {"site", "tokyo"},
                                 {"target", "dr-db"},
                                 {"up", "20 Mbit/s"},
                                 {"windows", json::array({"daily 00:00-24:00"})}}));
  json list = must(fixture.run("limit.list", {{"org", "acme"}}));
  REQUIRE(list["limits"].size() == 2);
  CHECK(list["limits"][0]["up_bits_per_s"] == 500'000'000);
  CHECK(list["limits"][0]["down_bits_per_s"] == 1'000'000'000);
  CHECK(list["limits"][0]["site"].is_null());
  CHECK(list["limits"][1]["site"] == "tokyo");
  CHECK(list["limits"][1]["target"] == "dr-db");
  CHECK(list["limits"][1]["now"]["up_bits_per_s"] == 20'000'000);
  CHECK(list["limits"][1]["now"]["window"] == "daily 00:00-24:00");
  CHECK(list["lanes"] == json::array({{{"org", "acme"}, {"lanes", 4}}}));

  fixture.sessions.live.limiting = {{{"acme", "", ""}, false, true}, {{"acme", "", ""}, true, false}};
  const json status = must(fixture.run("status"));
  CHECK(status["limits"][0]["limiting"] == json{{"up", true}, {"down", true}});
  CHECK(status["limits"][1]["limiting"] == json{{"up", false}, {"down", false}});

  PolicySnapshot policy{must(fixture.store.read_policy()), 1};
  CHECK(policy.lanes_of("acme", 32) == 4);
  CHECK(policy.lanes_of("acme", 2) == 2);
  CHECK(policy.lanes_of("other", 32) == 32);
  CHECK(policy.has_windows());
  REQUIRE(policy.limit_of({"acme", "", ""}) != nullptr);
  CHECK(policy.limit_of({"acme", "tokyo", ""}) == nullptr);

  must(fixture.run("limit.remove", {{"org", "acme"}}));
  must(fixture.run("limit.set", {{"org", "acme"}, {"lanes", "default"}}));
  // A target that is removed takes its limits along.
  must(fixture.run("target.remove", {{"org", "acme"}, {"target", "dr-db"}}));
  list = must(fixture.run("limit.list"));
  CHECK(list["limits"].empty());
  CHECK(list["lanes"].empty());
}

TEST_CASE("AdminService: a limit of what is not there, or without sense, is refused and changes nothing",
          "[admin]") {
  AdminFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  const auto refused = [&](const json& arguments, Errc code) {
    CAPTURE(arguments);
    const auto done = fixture.run("limit.set", arguments);
    REQUIRE_FALSE(done);
    CHECK(done.error().code() == code);
  };
  refused({{"org", "nobody"}, {"up", "1 Mbit/s"}}, Errc::NotFound);
  refused({{"org", "acme"}, {"site", "oslo"}, {"up", "1 Mbit/s"}}, Errc::NotFound);
  refused({{"org", "acme"}, {"target", "db"}, {"up", "1 Mbit/s"}}, Errc::NotFound);
  refused({{"org", "acme"}}, Errc::UsageInvalid);
  refused({{"org", "acme"}, {"up", "1 MB/s"}}, Errc::UsageInvalid);
  refused({{"org", "acme"}, {"up", "1 Mbit/s"}, {"windows", json::array({"noon"})}}, Errc::UsageInvalid);
  refused({{"org", "acme"}, {"lanes", "33"}}, Errc::UsageInvalid);
  refused({{"org", "acme"}, {"lanes", "0"}}, Errc::UsageInvalid);
  refused({{"org", "acme"}, {"lanes", "4x"}}, Errc::UsageInvalid);
  refused({{"org", "acme"}, {"site", "tokyo"}, {"lanes", "4"}}, Errc::UsageInvalid);
  refused({{"up", "1 Mbit/s"}}, Errc::UsageInvalid);
  CHECK(fixture.run("limit.remove", {{"org", "acme"}}).error().code() == Errc::NotFound);
  CHECK(must(fixture.run("limit.list"))["limits"].empty());
}

TEST_CASE("AdminService: without a daemon there is no status, and the rest works", "[admin]") {
  StoreFixture fixture;
  AdminService alone{fixture.store, AdminFixture::terms(), {}, [] { return kNoon; }};
  must(alone.execute({"org.add", {{"org", "acme"}}, 0}));
  must(alone.execute({"join-token", {{"org", "acme"}, {"site", "tokyo"}}, 0}));
  must(alone.execute({"site.remove", {{"org", "acme"}, {"site", "tokyo"}}, 0}));
  CHECK(alone.execute({"status", {}, 0}).error().code() == Errc::DaemonUnreachable);
}

}  // namespace culvert
