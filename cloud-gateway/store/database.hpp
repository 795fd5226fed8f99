// The only place that knows SOCI's session and exceptions. Included by the .cpp files of this folder alone.
#pragma once

#include <soci/soci.h>

#include <cerrno>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

#include "cloud-gateway/store/store.hpp"

namespace culvert {

/// One connection to the database, used by one thread at a time.
class Database {
 public:
  /// Connects and writes nothing. @error StoreFailed.
  Result<void> connect(const std::filesystem::path& path);
  /// Sets what durability needs; an empty file becomes a database by it. @error DiskFull, StoreFailed.
  Result<void> make_durable();

  /// Runs `body(sql)`, which returns a Result, as one transaction: committed when it returns a value, rolled
  /// back when it returns an error or throws.
  template <class Body>
  auto transaction(std::string_view doing, Body body) -> decltype(body(std::declval<soci::session&>())) {
    const std::lock_guard lock{mutex_};
    errno = 0;
    try {
      sql_.begin();
      auto result = body(sql_);
      if (result) {
        sql_.commit();
      } else {
        roll_back();
      }
      return result;
    } catch (const std::exception& failure) {
      Error error = to_error(failure, errno);
      roll_back();
      return std::move(error.at(doing));
    }
  }

 private:
  /// @param last_errno  errno as the failed call left it.
  Error to_error(const std::exception& failure, int last_errno);
  void roll_back();

  std::mutex mutex_;
  soci::session sql_;
  std::filesystem::path path_;
};

struct Store::Impl {
  Database db;
};

/// @error StoreFailed when the connected database at `path` was never a store; nothing is changed.
Result<void> require_schema(Database& db, const std::filesystem::path& path);

/// Brings a connected database to this program's schema. @error StoreFailed when the database is newer.
Result<void> migrate(Database& db);

/// Adds the next link of the chain; part of the caller's transaction.
void append_audit_row(soci::session& sql, const Actor& actor, const std::string& action,
                      const std::string& object, const std::string& detail);

bool org_exists(soci::session& sql, const std::string& org);
bool site_exists(soci::session& sql, const std::string& org, const std::string& site);
bool target_exists(soci::session& sql, const std::string& org, const std::string& target);
Error unknown_org(const std::string& org);
Error unknown_site(const std::string& org, const std::string& site);
Error unknown_target(const std::string& org, const std::string& target);

/// Of one org, or of all when `org` is empty.
Result<std::vector<LimitRecord>> select_limits(soci::session& sql, const std::string& org);
std::map<std::string, std::uint64_t> select_lane_ceilings(soci::session& sql, const std::string& org);

inline long long to_seconds(WallTime time) {
  return time.time_since_epoch().count();
}
inline WallTime from_seconds(long long seconds) {
  return WallTime{std::chrono::seconds{seconds}};
}

}  // namespace culvert
