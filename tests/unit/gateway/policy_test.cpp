#include "cloud-gateway/control/policy.hpp"

#include <catch2/catch.hpp>
#include <thread>

#include "tests/unit/gateway/store_fixture.hpp"

namespace culvert {

namespace {

struct PolicyFixture : StoreFixture {
  PolicyFixture() {
    add_org_with_token("acme", "tokyo", "aa");
    must(enrol("aa", "key", "01"));
    must(store.add_target({"acme", "db", "db.internal", 5432, false}, admin()));
    must(store.add_target({"acme", "local", "127.0.0.1", 873, true}, admin()));
    must(store.add_org("other", admin()));
    must(store.add_target({"other", "theirs", "db.other", 5432, false}, admin()));
    must(hub.rebuild(store));
  }
  PolicyHub hub;
  const certs::SiteIdentity tokyo{"acme", "tokyo"};
};

}  // namespace

TEST_CASE("Policy: a site reaches the targets of its own org and no others", "[policy]") {
  PolicyFixture fixture;
  const auto policy = fixture.hub.current();
  CHECK(*policy->authorise_open(fixture.tokyo, "db") == TargetAddress{"db.internal", 5432, false});
  CHECK(*policy->authorise_open(fixture.tokyo, "local") == TargetAddress{"127.0.0.1", 873, true});
  CHECK(policy->targets_of("acme") == std::vector<std::string>{"db", "local"});

  const auto unknown = policy->authorise_open(fixture.tokyo, "nothing");
  const auto theirs = policy->authorise_open(fixture.tokyo, "theirs");
  CHECK(unknown.error().code() == Errc::TargetUnknown);
  // The same answer: an org does not learn what another one has.
  CHECK(theirs.error().code() == Errc::TargetUnknown);
}

TEST_CASE("Policy: a removed site or org opens nothing any more", "[policy]") {
  PolicyFixture fixture;
  const auto before = fixture.hub.current();
  SECTION("site") {
    must(fixture.store.remove_site("acme", "tokyo", admin()));
  }
  SECTION("org") {
    must(fixture.store.remove_org("acme", admin()));
  }
  must(fixture.hub.rebuild(fixture.store));

  CHECK(fixture.hub.current()->authorise_open(fixture.tokyo, "db").error().code() == Errc::AccessRevoked);
  CHECK(fixture.hub.current()->authorise_site({"01", fixture.tokyo}, kNoon).error().code() ==
        Errc::AccessRevoked);
  // Whoever still holds the older snapshot reads it unharmed.
  CHECK(before->authorise_open(fixture.tokyo, "db"));
}

TEST_CASE("Policy: a certificate counts when known, unrevoked, unexpired and of its own site", "[policy]") {
  PolicyFixture fixture;
  const auto policy = fixture.hub.current();
  CHECK(policy->authorise_site({"01", fixture.tokyo}, kNoon));
  for (const auto& [serial, identity] :
       {std::pair{"02", fixture.tokyo}, {"01", {"acme", "oslo"}}, {"01", {"other", "tokyo"}}}) {
    CHECK(policy->authorise_site({serial, identity}, kNoon).error().code() == Errc::AccessRevoked);
  }
  // That a clock may have said wrongly, and its sessions are not ended for it.
  const auto late = policy->authorise_site({"01", fixture.tokyo}, kNoon + std::chrono::hours{2161});
  CHECK(late.error().code() == Errc::Unauthorized);
}

TEST_CASE("Policy: enrolling again takes the older certificate out of force", "[policy]") {
  PolicyFixture fixture;
  must(fixture.store.add_joining_token({"bb", "acme", "tokyo", kNoon + std::chrono::hours{1}}, admin()));
  must(fixture.enrol("bb", "new key", "02"));
  must(fixture.hub.rebuild(fixture.store));
  CHECK_FALSE(fixture.hub.current()->authorise_site({"01", fixture.tokyo}, kNoon));
  CHECK(fixture.hub.current()->authorise_site({"02", fixture.tokyo}, kNoon));
}

TEST_CASE("PolicyHub: the version rises with each snapshot, and an empty one allows nothing", "[policy]") {
  StoreFixture fixture;
  PolicyHub hub;
  CHECK(hub.version() == 0);
  CHECK(hub.current()->authorise_open({"acme", "tokyo"}, "db").error().code() == Errc::AccessRevoked);
  must(hub.rebuild(fixture.store));
  must(hub.rebuild(fixture.store));
  CHECK(hub.version() == 2);
  CHECK(hub.current()->version() == 2);
}

TEST_CASE("PolicyHub: of rebuilds at the same time the last one published has seen every change",
          "[policy]") {
  StoreFixture fixture;
  PolicyHub hub;
  must(fixture.store.add_org("acme", admin()));
  const auto add_targets = [&](const std::string& prefix) {
    for (int i = 0; i < 10; ++i) {
      const auto added =
          fixture.store.add_target({"acme", prefix + std::to_string(i), "db", 1, false}, admin());
      if (!added || !hub.rebuild(fixture.store)) return;
    }
  };
  std::thread first{add_targets, "a"};
  std::thread second{add_targets, "b"};
  first.join();
  second.join();
  CHECK(hub.version() == 20);
  CHECK(hub.current()->targets_of("acme").size() == 20);
}

}  // namespace culvert
