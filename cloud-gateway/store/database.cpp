#include "cloud-gateway/store/database.hpp"

#include <soci/sqlite3/soci-sqlite3.h>

#include <cerrno>
#include <cstring>

#include "cloud-gateway/store/schema.hpp"

namespace culvert {

namespace {

/// Null before the connection is open. The library does not export the type's RTTI, and connect() made no
/// other.
sqlite_api::sqlite3* connection_of(soci::session& sql) {
  auto* backend = static_cast<soci::sqlite3_session_backend*>(sql.get_backend());
  return backend == nullptr ? nullptr : backend->conn_;
}

bool means_full(int system_errno) {
  return system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG;
}

/// SOCI prefixes its own function's name; the operator needs what the database said.
std::string what_the_database_said(const std::exception& failure) {
  const auto* error = dynamic_cast<const soci::soci_error*>(&failure);
  // what() would add the query with its values, which may be secret hashes.
  std::string text = error == nullptr ? failure.what() : error->get_error_message();
  if (const std::size_t scope = text.find("::"); scope != std::string::npos) {
    if (const std::size_t colon = text.find(": ", scope + 2); colon != std::string::npos)
      text.erase(0, colon + 2);
  }
  return text;
}

}  // namespace

Result<void> Database::connect(const std::filesystem::path& path) {
  path_ = path;
  errno = 0;
  if (path.native().find('"') != std::string::npos)
    return Error{Errc::StoreFailed,
                 "the path of the store contains a double quote, which SQLite's connection string "
                 "cannot carry; choose another directory"};
  try {
    sql_.open(soci::sqlite3, "db=\"" + path.string() + "\" timeout=10");
    return {};
  } catch (const std::exception& failure) {
    return to_error(failure, errno).at("open", path_.string());
  }
}

Result<void> Database::make_durable() {
  errno = 0;
  try {
    std::string mode;
    sql_ << "PRAGMA journal_mode = WAL", soci::into(mode);
    // FULL: a commit that was answered is on the disk, whatever happens to the power.
    sql_ << "PRAGMA synchronous = FULL";
    sql_ << "PRAGMA foreign_keys = ON";
    return {};
  } catch (const std::exception& failure) {
    return to_error(failure, errno).at("open", path_.string());
  }
}

Error Database::to_error(const std::exception& failure, int last_errno) {
  auto* connection = connection_of(sql_);
  const int code = connection == nullptr ? SQLITE_OK : sqlite_api::sqlite3_errcode(connection) & 0xff;
  // SQLite keeps the errno of a failed statement, but not that of a failed commit.
  const int kept = connection == nullptr ? 0 : sqlite_api::sqlite3_system_errno(connection);
  const int system_errno = kept != 0 ? kept : last_errno;
  const auto* sqlite_error = dynamic_cast<const soci::sqlite3_soci_error*>(&failure);
  const int result = sqlite_error == nullptr ? code : sqlite_error->result() & 0xff;
  if (result == SQLITE_FULL || (result == SQLITE_IOERR && means_full(system_errno)))
    return Error{Errc::DiskFull, "the disk that holds " + path_.string() +
                                     " is full; nothing was changed; free some space and repeat"};
  std::string text = what_the_database_said(failure);
  if (result == SQLITE_CORRUPT || result == SQLITE_NOTADB) {
    return Error{Errc::StoreFailed, "the store " + path_.string() + " is damaged (" + text +
                                        "); stop the gateway and put it back from a backup"};
  }
  if (result == SQLITE_IOERR && system_errno != 0) text += std::string{": "} + std::strerror(system_errno);
  return Error{Errc::StoreFailed, "the store " + path_.string() + " says: " + text};
}

void Database::roll_back() {
  try {
    sql_.rollback();
  } catch (const std::exception&) {
    // SQLite has rolled back by itself already, as it does after some failures of the disk.
  }
}

Result<void> require_schema(Database& db, const std::filesystem::path& path) {
  return db.transaction("look for the store's schema", [&](soci::session& sql) -> Result<void> {
    int tables = 0;
    int rows = 0;
    sql << "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'",
        soci::into(tables);
    if (tables != 0) sql << "SELECT COUNT(*) FROM schema_version", soci::into(rows);
    if (rows != 0) return {};
    return Error{Errc::StoreFailed, path.string() +
                                        " holds no store of culvert-gateway; put it back from a backup of "
                                        "the gateway's directory"};
  });
}

Result<void> migrate(Database& db) {
  return db.transaction("bring the store's schema up to date", [](soci::session& sql) -> Result<void> {
    sql << "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)";
    int rows = 0;
    int version = 0;
    sql << "SELECT COUNT(*), COALESCE(MAX(version), 0) FROM schema_version", soci::into(rows),
        soci::into(version);
    const auto migrations = schema_migrations();
    const int known = static_cast<int>(migrations.size());
    if (version > known)
      return Error{Errc::StoreFailed,
                   "the store has schema " + std::to_string(version) + " and this program knows " +
                       std::to_string(known) +
                       "; run the newer culvert-gateway, or restore the backup made before it"};
    if (version == known) return {};
    for (int next = version; next < known; ++next) {
      for (const std::string& statement : split_statements(migrations[static_cast<std::size_t>(next)]))
        sql << statement;
    }
    if (rows == 0) sql << "INSERT INTO schema_version (version) VALUES (0)";
    sql << "UPDATE schema_version SET version = :version", soci::use(known);
    return {};
  });
}

bool org_exists(soci::session& sql, const std::string& org) {
  int count = 0;
  sql << "SELECT COUNT(*) FROM orgs WHERE name = :org", soci::into(count), soci::use(org);
  return count != 0;
}

bool site_exists(soci::session& sql, const std::string& org, const std::string& site) {
  int count = 0;
  sql << "SELECT COUNT(*) FROM sites WHERE org = :org AND name = :site", soci::into(count), soci::use(org),
      soci::use(site);
  return count != 0;
}

bool target_exists(soci::session& sql, const std::string& org, const std::string& target) {
  int count = 0;
  sql << "SELECT COUNT(*) FROM targets WHERE org = :org AND name = :name", soci::into(count), soci::use(org),
      soci::use(target);
  return count != 0;
}

Error unknown_org(const std::string& org) {
  return Error{Errc::NotFound, "there is no org '" + org + "'; add it with 'culvert-gateway org add " + org +
                                   "', or see 'org list'"};
}

Error unknown_site(const std::string& org, const std::string& site) {
  return Error{Errc::NotFound,
               "org '" + org + "' has no site '" + site + "'; see 'culvert-gateway site list'"};
}

Error unknown_target(const std::string& org, const std::string& target) {
  return Error{Errc::NotFound, "org '" + org + "' has no target '" + target +
                                   "'; see 'culvert-gateway target list " + org + "'"};
}

}  // namespace culvert
