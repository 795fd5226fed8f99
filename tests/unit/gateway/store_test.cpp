#include "cloud-gateway/store/store.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <iterator>

#include "tests/unit/gateway/store_fixture.hpp"

namespace culvert {

TEST_CASE("Store: what was added is there after the store is opened again", "[store]") {
  TempDir dir;
  {
    Store store = must(Store::create(dir / "store.sqlite"));
    must(store.add_org("acme", admin()));
    must(store.add_target({"acme", "dr-db", "db.dr.internal", 5432, false}, admin()));
    must(store.add_target({"acme", "local", "::1", 873, true}, admin()));
  }
  Store store = must(Store::open(dir / "store.sqlite"));

  const auto targets = must(store.list_targets("acme"));
  REQUIRE(targets.size() == 2);
  CHECK(targets[0].name == "dr-db");
  CHECK(targets[0].host == "db.dr.internal");
  CHECK(targets[0].port == 5432);
  CHECK_FALSE(targets[0].address_permitted);
  CHECK(targets[1].address_permitted);
  const auto orgs = must(store.list_orgs());
  REQUIRE(orgs.size() == 1);
  CHECK(orgs[0].targets == 2);
  CHECK(orgs[0].created_at == kNoon);
}

TEST_CASE("Store: its file is readable by the owner only", "[store]") {
  StoreFixture fixture;
  must(fixture.store.add_org("acme", admin()));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info {};
    REQUIRE(::stat((fixture.path.string() + suffix).c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
  }
}

TEST_CASE("Store: creating one over an existing file is refused and changes nothing", "[store]") {
  TempDir dir;
  std::ofstream{dir / "store.sqlite"} << "something of somebody";
  CHECK(Store::create(dir / "store.sqlite").error().code() == Errc::AlreadyExists);
  std::ifstream file{dir / "store.sqlite"};
  CHECK(std::string{std::istreambuf_iterator<char>{file}, {}} == "something of somebody");
}

TEST_CASE("Store: opening none, or something else, says so and makes nothing", "[store]") {
  TempDir dir;
  const auto absent = Store::open(dir / "absent.sqlite");
  CHECK(absent.error().code() == Errc::NotFound);
  CHECK_THAT(absent.error().message(), Catch::Contains("put it back from a backup"));
  CHECK_FALSE(std::filesystem::exists(dir / "absent.sqlite"));

  std::ofstream{dir / "text.sqlite"} << std::string(5000, 'x');
  const auto opened = Store::open(dir / "text.sqlite");
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code() == Errc::StoreFailed);
  CHECK_THAT(opened.error().to_string(), Catch::Contains("file is not a database"));
}

TEST_CASE("Store: an empty file or another program's database is not taken for a new store", "[store]") {
  TempDir dir;
  const auto path = dir / "store.sqlite";
  std::ofstream{path}.flush();
  const auto refuses = [&] {
    const auto size = std::filesystem::file_size(path);
    const auto opened = Store::open(path);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code() == Errc::StoreFailed);
    CHECK_THAT(opened.error().message(),
               Catch::Contains(path.string() + " holds no store of culvert-gateway") &&
                   Catch::Contains("from a backup"));
    CHECK(std::filesystem::file_size(path) == size);
  };
  refuses();
  run_sql(path, "CREATE TABLE letters (text TEXT)");
  refuses();
  run_sql(path, "CREATE TABLE schema_version (version INTEGER NOT NULL)");
  refuses();
}

TEST_CASE("Store: one that was made before there were limits gets them, and keeps what it has", "[store]") {
  StoreFixture fixture;
  must(fixture.store.add_org("acme", admin()));
  run_sql(fixture.path, "DROP TABLE limits");
  run_sql(fixture.path, "DROP TABLE lane_ceilings");
  run_sql(fixture.path, "UPDATE schema_version SET version = 1");
  Store opened = must(Store::open(fixture.path));
  CHECK(must(opened.list_orgs()).size() == 1);
  must(opened.change_limit(
      {"acme", "", ""},
      [](BandwidthLimit& limit) -> Result<void> {
        limit.rates.up = BitRate{1'000'000};
        return {};
      },
      admin()));
  must(opened.set_lane_ceiling("acme", 4, admin()));
  const LimitList list = must(must(Store::open(fixture.path)).list_limits("acme"));
  REQUIRE(list.limits.size() == 1);
  CHECK(list.limits[0].limit.rates.up == BitRate{1'000'000});
  CHECK(list.lanes.at("acme") == 4);
  CHECK(must(opened.verify_audit()) == 3);
}

TEST_CASE("Store: a schema newer than the program is refused with what to do", "[store]") {
  StoreFixture fixture;
  run_sql(fixture.path, "UPDATE schema_version SET version = 99");
  const auto opened = Store::open(fixture.path);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code() == Errc::StoreFailed);
  CHECK_THAT(opened.error().to_string(),
             Catch::Contains("schema 99") && Catch::Contains("newer culvert-gateway"));
}

TEST_CASE("Store: an org is added once and an unknown one is named", "[store]") {
  StoreFixture fixture;
  must(fixture.store.add_org("acme", admin()));
  CHECK(fixture.store.add_org("acme", admin()).error().code() == Errc::AlreadyExists);
  CHECK(fixture.store.remove_org("other", admin()).error().code() == Errc::NotFound);
  const auto refused = fixture.store.add_target({"other", "db", "db", 1, false}, admin());
  CHECK(refused.error().code() == Errc::NotFound);
  CHECK_THAT(refused.error().message(), Catch::Contains("culvert-gateway org add other"));
  CHECK(fixture.store.list_sites("other").error().code() == Errc::NotFound);
}

TEST_CASE("Store: removing an org removes its targets, sites, certificates and tokens", "[store]") {
  StoreFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  must(fixture.enrol("aa", "key", "01"));
  must(fixture.store.add_target({"acme", "db", "db.internal", 5432, false}, admin()));
  must(fixture.store.remove_org("acme", admin()));

  const PolicyData policy = must(fixture.store.read_policy());
  CHECK(policy.orgs.empty());
  CHECK(policy.sites.empty());
  CHECK(policy.targets.empty());
  CHECK(policy.certificates.empty());
  CHECK(fixture.enrol("aa", "key", "02").error().code() == Errc::JoiningStringInvalid);
}

TEST_CASE("Store: the same secret and key get the same certificate again", "[store][enrolment]") {
  StoreFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  const EnrolmentOutcome first = must(fixture.enrol("aa", "key", "01"));
  const EnrolmentOutcome second = must(fixture.enrol("aa", "key", "02"));

  CHECK(first.org == "acme");
  CHECK(first.site == "tokyo");
  CHECK_FALSE(first.repeated);
  CHECK(second.repeated);
  CHECK(second.certificate_pem == "certificate 01");
  CHECK(must(fixture.store.read_policy()).certificates.size() == 1);
}

TEST_CASE("Store: a used secret is refused for another key, an expired and an unknown one for all",
          "[store][enrolment]") {
  StoreFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  must(fixture.enrol("aa", "key", "01"));
  CHECK(fixture.enrol("aa", "another key", "02").error().code() == Errc::JoiningStringInvalid);
  CHECK(fixture.enrol("bb", "key", "03").error().code() == Errc::JoiningStringInvalid);
  CHECK(fixture.enrol("aa", "key", "04", kNoon + std::chrono::hours{24}).error().code() ==
        Errc::JoiningStringExpired);
}

TEST_CASE("Store: enrolling a site again revokes its older certificate", "[store][enrolment]") {
  StoreFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  must(fixture.enrol("aa", "key", "01"));
  must(fixture.store.add_joining_token({"bb", "acme", "tokyo", kNoon + std::chrono::hours{24}}, admin()));
  must(fixture.enrol("bb", "new key", "02"));

  const auto certificates = must(fixture.store.read_policy()).certificates;
  REQUIRE(certificates.size() == 1);
  CHECK(certificates[0].serial == "02");
  // The first secret's answer would be a revoked certificate.
  CHECK(fixture.enrol("aa", "key", "03").error().code() == Errc::JoiningStringInvalid);
}

TEST_CASE("Store: an enrolment that the authority refuses leaves the secret unused", "[store][enrolment]") {
  StoreFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  const auto refused =
      fixture.store.enrol({"aa", "key"}, admin(), [](const std::string&, const std::string&) {
        return Result<IssuedCertificate>{Error{Errc::CertificateInvalid, "the authority has expired"}};
      });
  CHECK(refused.error().code() == Errc::CertificateInvalid);
  CHECK(must(fixture.enrol("aa", "another key", "01")).certificate_pem == "certificate 01");
}

TEST_CASE("Store: reported forwards replace the ones before", "[store]") {
  StoreFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  must(fixture.store.replace_forwards("acme", "tokyo",
                                      {{"a", 10000, "listening", ""}, {"b", 10001, "failed", "in use"}}));
  must(fixture.store.replace_forwards("acme", "tokyo", {{"c", 10002, "closed", ""}}));

  const auto forwards = must(fixture.store.list_forwards("acme", "tokyo"));
  REQUIRE(forwards.size() == 1);
  CHECK(forwards[0].name == "c");
  CHECK(forwards[0].port == 10002);
  CHECK(fixture.store.replace_forwards("acme", "oslo", {}).error().code() == Errc::NotFound);
}

TEST_CASE("Store: every decision is in the audit log, in order, and refusals change nothing",
          "[store][audit]") {
  StoreFixture fixture;
  fixture.add_org_with_token("acme", "tokyo", "aa");
  must(fixture.enrol("aa", "key", "01"));
  CHECK_FALSE(fixture.store.add_org("acme", admin()));
  must(fixture.store.remove_site("acme", "tokyo", admin()));

  const auto entries = must(fixture.store.list_audit(100));
  std::vector<std::string> actions;
  for (const AuditEntry& entry : entries) actions.push_back(entry.action + " " + entry.object);
  CHECK(actions == std::vector<std::string>{"org.add acme", "site.join_token acme/tokyo",
                                            "site.enrol acme/tokyo", "site.remove acme/tokyo"});
  CHECK(entries.front().seq == 1);
  CHECK(entries[2].actor == "address:192.0.2.1");
  CHECK(must(fixture.store.verify_audit()) == 4);
}

TEST_CASE("Store: a changed, removed or cut-off audit entry is found and named", "[store][audit]") {
  StoreFixture fixture;
  for (int i = 0; i < 5; ++i) must(fixture.store.add_org("org" + std::to_string(i), admin()));
  std::string entry;
  SECTION("changed") {
    run_sql(fixture.path, "UPDATE audit SET object = 'innocent' WHERE seq = 3");
    entry = "entry 3 was changed";
  }
  SECTION("the time changed") {
    run_sql(fixture.path, "UPDATE audit SET time = time + 1 WHERE seq = 2");
    entry = "entry 2 was changed";
  }
  SECTION("removed") {
    run_sql(fixture.path, "DELETE FROM audit WHERE seq = 4");
    entry = "entry 4 is missing";
  }
  SECTION("cut off") {
    run_sql(fixture.path, "DELETE FROM audit WHERE seq = 5");
    entry = "entry 5 is missing";
  }
  const auto verified = fixture.store.verify_audit();
  REQUIRE_FALSE(verified);
  CHECK_THAT(verified.error().message(), Catch::Contains(entry));
}

TEST_CASE("Store: a copy taken in the middle of its log opens with whole changes only", "[store][crash]") {
  StoreFixture fixture;
  const std::filesystem::path wal = fixture.path.string() + "-wal";
  const auto with_schema = std::filesystem::file_size(wal);
  for (int i = 0; i < 20; ++i) must(fixture.store.add_org("org" + std::to_string(i), admin()));
  const auto full = std::filesystem::file_size(wal);
  for (std::uintmax_t cut = 0; cut <= full; cut += 4096 / 2 + 7) {
    TempDir copy;
    std::filesystem::copy_file(fixture.path, copy / "store.sqlite");
    std::filesystem::copy_file(wal, copy / "store.sqlite-wal");
    std::filesystem::resize_file(copy / "store.sqlite-wal", cut);

    auto opened = Store::open(copy / "store.sqlite");
    if (!opened) {
      CHECK(cut < with_schema);  // Before the schema's own commit it was never a store.
      CHECK_THAT(opened.error().message(), Catch::Contains("holds no store"));
      continue;
    }
    Store store = must(std::move(opened));
    CHECK(must(store.list_orgs()).size() == must(store.verify_audit()));
    must(store.add_org("after", admin()));
  }
}

TEST_CASE("Store: what was answered is there after its process was killed", "[store][crash]") {
  TempDir dir;
  const auto path = dir / "store.sqlite";
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto store = Store::create(path);
    for (int i = 0; store && store->add_org("org" + std::to_string(i), admin()); ++i) {
      if (::write(ready[1], "+", 1) != 1) break;
    }
    ::_exit(1);
  }
  ::close(ready[1]);
  std::size_t answered = 0;
  for (char byte = 0; answered < 7; ++answered) REQUIRE(::read(ready[0], &byte, 1) == 1);
  REQUIRE(::kill(child, SIGKILL) == 0);
  for (char byte = 0; ::read(ready[0], &byte, 1) == 1;) ++answered;
  ::close(ready[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);

  Store store = must(Store::open(path));
  const std::size_t found = must(store.list_orgs()).size();
  CHECK((found == answered || found == answered + 1));
  CHECK(must(store.verify_audit()) == found);
}

TEST_CASE("Store: a full disk is reported as such and nothing is half done", "[store][disk]") {
  StoreFixture fixture;
  must(fixture.store.add_org("acme", admin()));
  const auto limit = std::filesystem::file_size(fixture.path.string() + "-wal") + 20'000;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{limit, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::size_t added = 1;
  Result<void> last;
  while (added < 1000 && (last = fixture.store.add_org("org" + std::to_string(added), admin()))) ++added;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, old_handler);

  REQUIRE_FALSE(last);
  CHECK(last.error().code() == Errc::DiskFull);
  CHECK_THAT(last.error().message(), Catch::Contains("full") && Catch::Contains("nothing was changed"));
  CHECK(must(fixture.store.list_orgs()).size() == added);
  must(fixture.store.add_org("after", admin()));
  CHECK(must(fixture.store.verify_audit()) == added + 1);
}

TEST_CASE("Store: a path that SQLite's connection string cannot carry is refused", "[store]") {
  TempDir dir;
  CHECK(Store::create(dir / "quo\"te.sqlite").error().code() == Errc::StoreFailed);
  CHECK(std::filesystem::is_empty(dir.path()));
  CHECK(Store::create(dir / "a blank = and more.sqlite"));
}

}  // namespace culvert
