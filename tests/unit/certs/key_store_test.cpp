#include <catch2/catch.hpp>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <csignal>

#include <fstream>

#include "certs/directory_check.hpp"
#include "certs/key_store.hpp"
#include "tests/unit/certs/test_world.hpp"

using namespace culvert;
using namespace culvert::certs;
using namespace culvert::certs::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

unsigned mode_of(const fs::path& file) {
  struct stat status {};
  return stat(file.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
}

std::size_t files_in(const fs::path& dir) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator{dir}, fs::directory_iterator{}));
}

/// No file of this process grows beyond `bytes`: what a full disk does, in the middle of a save.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal_ = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, signal_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*signal_)(int) = nullptr;
};

}  // namespace

TEST_CASE("A key and its chain survive their files, which only their owner can read", "[certs][store]") {
  const World world;
  const TemporaryDirectory dir;
  const auto chain = world.site_chain();
  unwrap(save_new_pair(dir.path(), "site", world.key, chain));
  CHECK(mode_of(dir.path() / "site.key") == 0600);
  CHECK(mode_of(dir.path() / "site.pem") == 0600);
  const KeyAndChain pair = unwrap(load_pair(dir.path(), "site"));
  CHECK(pair.chain == chain);
  CHECK(pair.key.public_key() == world.key.public_key());
  CHECK(files_in(dir.path()) == 2);
}

TEST_CASE("A key that others may read or write is refused with the chmod that mends it", "[certs][store]") {
  const World world;
  const TemporaryDirectory dir;
  const fs::path file = dir.path() / "site.key";
  unwrap(save_key(file, world.key));
  for (const mode_t mode : {0640U, 0604U, 0620U, 0602U, 0666U}) {
    REQUIRE(chmod(file.c_str(), mode) == 0);
    const Error error = error_of(load_key(file));
    CHECK(error.code() == Errc::FileUnsafe);
    CHECK_THAT(error.message(), Contains("chmod 600 " + file.string()));
  }
  REQUIRE(chmod(file.c_str(), 0400) == 0);
  CHECK(load_key(file));
}

TEST_CASE("A new pair never replaces an old one", "[certs][store]") {
  const World world;
  const TemporaryDirectory dir;
  dir.file("site.pem", "precious");
  CHECK(error_of(save_new_pair(dir.path(), "site", world.key, world.site_chain())).code() ==
        Errc::AlreadyExists);
  CHECK(files_in(dir.path()) == 1);
  std::string text;
  std::ifstream{dir.path() / "site.pem"} >> text;
  CHECK(text == "precious");
}

TEST_CASE("A disk that fills between key and chain leaves neither", "[certs][store]") {
  const World world;
  const TemporaryDirectory dir;
  const FileSizeLimit full{1000};  // A key has about 240 bytes, a chain about 2,000.
  CHECK(error_of(save_new_pair(dir.path(), "site", world.key, world.site_chain())).code() == Errc::DiskFull);
  CHECK(error_of(create_authorities(dir.path(), "Test root", kNow)).code() == Errc::DiskFull);
  CHECK(files_in(dir.path()) == 0);
}

TEST_CASE("Missing, damaged and mismatched files are told apart", "[certs][store]") {
  const World world;
  const TemporaryDirectory dir;
  CHECK(error_of(load_pair(dir.path(), "site")).code() == Errc::NotFound);
  unwrap(save_key(dir.path() / "site.key", world.key));
  CHECK(error_of(load_pair(dir.path(), "site")).code() == Errc::NotFound);
  dir.file("site.pem", "-----BEGIN CERTIFICATE-----\nMII");
  const Error damaged = error_of(load_pair(dir.path(), "site"));
  CHECK(damaged.code() == Errc::CertificateInvalid);
  CHECK_THAT(damaged.to_string(), Contains("site.pem"));
  unwrap(save_chain(dir.path() / "site.pem", World{}.site_chain()));
  CHECK(error_of(load_pair(dir.path(), "site")).code() == Errc::KeyInvalid);
}

TEST_CASE("Authorities made in a directory come back from it, with the root's key taken away",
          "[certs][store]") {
  const TemporaryDirectory dir;
  unwrap(create_authorities(dir.path(), "Test root", kNow));
  CHECK(files_in(dir.path()) == 6);
  fs::remove(dir.path() / "root.key");
  const Authority sites = unwrap(load_authority(dir.path(), Purpose::Sites));
  const Authority server = unwrap(load_authority(dir.path(), Purpose::Server));
  CHECK(sites.root() == server.root());
  CHECK(error_of(load_authority(dir.path(), Purpose::Root)).code() == Errc::NotFound);
}

TEST_CASE("Authorities are not made over old ones, nor with a bad name", "[certs][store]") {
  const TemporaryDirectory dir;
  CHECK(error_of(create_authorities(dir.path(), "", kNow)).code() == Errc::UsageInvalid);
  CHECK(files_in(dir.path()) == 0);
  dir.file("server-ca.key", "precious");
  CHECK(error_of(create_authorities(dir.path(), "Test root", kNow)).code() == Errc::AlreadyExists);
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("An authority's files under another's name are refused", "[certs][store]") {
  const World world;
  const TemporaryDirectory dir;
  unwrap(save_new_pair(dir.path(), "sites-ca", world.server.key(), world.server.chain()));
  CHECK_THAT(error_of(load_authority(dir.path(), Purpose::Sites)).message(),
             Contains("for server, not for sites"));
}

TEST_CASE("A healthy directory has no findings", "[certs][check]") {
  const World world;
  const TemporaryDirectory dir;
  unwrap(save_new_pair(dir.path(), "site", world.key, world.site_chain()));
  dir.file("notes.txt", "not looked at");
  const DirectoryReport report = unwrap(check_directory(dir.path(), kNow));
  CHECK(report.healthy());
  CHECK(report.findings.empty());
  CHECK(report.keys == 1);
  CHECK(report.certificates == 3);
}

TEST_CASE("A directory check finds what is wrong and changes nothing", "[certs][check]") {
  const World world;
  const TemporaryDirectory dir;
  unwrap(save_new_pair(dir.path(), "site", world.key, world.site_chain()));
  const auto only_finding = [&](UtcTime now) {
    const DirectoryReport report = unwrap(check_directory(dir.path(), now));
    REQUIRE(report.findings.size() == 1);
    return report.findings.front();
  };
  SECTION("a key that others can read") {
    REQUIRE(chmod((dir.path() / "site.key").c_str(), 0644) == 0);
    const Finding finding = only_finding(kNow);
    CHECK(finding.severity == Finding::Severity::Problem);
    CHECK_THAT(finding.message, Contains("chmod 600"));
    CHECK(mode_of(dir.path() / "site.key") == 0644);
  }
  SECTION("a directory that others can write") {
    REQUIRE(chmod(dir.path().c_str(), 0777) == 0);
    CHECK_THAT(only_finding(kNow).message, Contains("chmod go-w"));
  }
  SECTION("a certificate in its last third") {
    CHECK(unwrap(check_directory(dir.path(), kNow + days(59))).findings.empty());
    const Finding finding = only_finding(kNow + days(61));
    CHECK(finding.severity == Finding::Severity::Warning);
    CHECK_THAT(finding.message, Contains("expires at 2026-05-30"));
  }
  SECTION("an expired certificate") {
    CHECK_THAT(only_finding(kNow + days(91)).message, Contains("expired at 2026-05-30"));
    CHECK_FALSE(unwrap(check_directory(dir.path(), kNow + days(91))).healthy());
  }
  SECTION("certificates from the future, every one of them") {
    CHECK(unwrap(check_directory(dir.path(), kNow - days(1))).findings.size() == 3);
  }
  SECTION("another certificate's key") {
    unwrap(save_key(dir.path() / "site.key", unwrap(PrivateKey::generate())));
    CHECK_THAT(only_finding(kNow).message, Contains("not the private key of site.pem"));
  }
  SECTION("a key without a certificate") {
    fs::remove(dir.path() / "site.pem");
    CHECK(only_finding(kNow).severity == Finding::Severity::Warning);
  }
  SECTION("a damaged certificate") {
    dir.file("site.pem", "damaged");
    CHECK(only_finding(kNow).file == dir.path() / "site.pem");
  }
}

TEST_CASE("Checking what is no directory is an error", "[certs][check]") {
  const TemporaryDirectory dir;
  CHECK(error_of(check_directory(dir.path() / "missing", kNow)).code() == Errc::NotFound);
  CHECK(error_of(check_directory(dir.file("f", ""), kNow)).code() == Errc::NotFound);
}
