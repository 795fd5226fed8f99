// A store with an org and a joining token, and SQL beside it for what only an intruder would do.
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "cloud-gateway/store/store.hpp"
#include "tests/unit/gateway/temp_dir.hpp"

namespace culvert {

constexpr WallTime kNoon{std::chrono::seconds{1'795'262'400}};

inline Actor admin(WallTime at = kNoon) {
  return {"uid:0", at};
}

/// Fails the test with the error's own sentence.
template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().to_string());
  return std::move(result).value();
}
inline void must(Result<void> result) {
  if (!result) FAIL(result.error().to_string());
}

struct StoreFixture {
  TempDir dir;
  std::filesystem::path path = dir / "store.sqlite";
  Store store = must(Store::create(path));

  void add_org_with_token(const std::string& org, const std::string& site, const std::string& secret_hash) {
    must(store.add_org(org, admin()));
    must(store.add_joining_token({secret_hash, org, site, kNoon + std::chrono::hours{24}}, admin()));
  }

  Result<EnrolmentOutcome> enrol(const std::string& secret_hash, const std::string& spki,
                                 const std::string& serial, WallTime at = kNoon) {
    return store.enrol({secret_hash, spki}, {"address:192.0.2.1", at},
                       [&](const std::string& org, const std::string& site) -> Result<IssuedCertificate> {
                         return IssuedCertificate{
                             {serial, org, site, spki, at, at + std::chrono::hours{2160}},
                             "certificate " + serial};
                       });
  }
};

/// Runs statements on a store's file past the Store, as an intruder or another program would.
void run_sql(const std::filesystem::path& path, const std::string& statement);

}  // namespace culvert
