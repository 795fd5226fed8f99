// Opening, and everything about orgs, targets and sites. Enrolment and audit have files of their own.
#include "cloud-gateway/store/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cloud-gateway/store/database.hpp"

namespace culvert {

using soci::into;
using soci::use;

namespace {

/// SQLite would create the file with the process's umask; its log files then copy the mode we choose here. As
/// root in somebody else's directory the file gets the directory's owner, and SQLite hands its log files on
/// likewise.
Result<void> create_empty(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) {
    if (errno == EEXIST) return Error{Errc::AlreadyExists, "there is a store already: " + path.string()};
    const Errc code = errno == ENOSPC || errno == EDQUOT ? Errc::DiskFull : Errc::StoreFailed;
    return Error{code, "cannot create the store " + path.string() + ": " + std::strerror(errno)};
  }
  struct stat parent {};
  int failed = 0;
  if (::geteuid() == 0 && ::stat(path.parent_path().c_str(), &parent) == 0)
    failed = ::fchown(fd, parent.st_uid, parent.st_gid);
  const int reason = errno;
  ::close(fd);
  if (failed == 0) return {};
  ::unlink(path.c_str());
  return Error{Errc::StoreFailed,
               "cannot give " + path.string() + " to its directory's owner: " + std::strerror(reason)};
}

void remove_files(const std::filesystem::path& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((path.string() + suffix).c_str());
}

}  // namespace

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::create(const std::filesystem::path& path) {
  if (auto created = create_empty(path); !created) return std::move(created).error();
  auto store = open_file(path, Expected::NewFile);
  if (!store) remove_files(path);
  return store;
}

Result<Store> Store::open(const std::filesystem::path& path) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed))
    return Error{Errc::NotFound,
                 "there is no store " + path.string() +
                     (failed ? ": " + failed.message()
                             : "; put it back from a backup of the gateway's directory, or make a new "
                               "gateway in another one with 'culvert-gateway init'")};
  return open_file(path, Expected::Schema);
}

Result<Store> Store::open_file(const std::filesystem::path& path, Expected expected) {
  auto impl = std::make_unique<Impl>();
  if (auto connected = impl->db.connect(path); !connected) return std::move(connected).error();
  if (expected == Expected::Schema) {
    if (auto found = require_schema(impl->db, path); !found) return std::move(found).error();
  }
  if (auto set = impl->db.make_durable(); !set) return std::move(set).error();
  if (auto migrated = migrate(impl->db); !migrated)
    return std::move(migrated).error().at("open", path.string());
  return Store{std::move(impl)};
}

Result<void> Store::add_org(const std::string& org, const Actor& actor) {
  return impl_->db.transaction("add an org", [&](soci::session& sql) -> Result<void> {
    if (org_exists(sql, org))
      return Error{Errc::AlreadyExists, "org '" + org + "' exists already; nothing was changed"};
    const long long now = to_seconds(actor.at);
    sql << "INSERT INTO orgs (name, created_at) VALUES (:name, :now)", use(org), use(now);
    append_audit_row(sql, actor, "org.add", org, "");
    return {};
  });
}

Result<void> Store::remove_org(const std::string& org, const Actor& actor) {
  return impl_->db.transaction("remove an org", [&](soci::session& sql) -> Result<void> {
    if (!org_exists(sql, org)) return unknown_org(org);
    int sites = 0;
    int targets = 0;
    sql << "SELECT COUNT(*) FROM sites WHERE org = :org", into(sites), use(org);
    sql << "SELECT COUNT(*) FROM targets WHERE org = :org", into(targets), use(org);
    sql << "DELETE FROM orgs WHERE name = :org", use(org);
    append_audit_row(sql, actor, "org.remove", org,
                     "sites=" + std::to_string(sites) + " targets=" + std::to_string(targets));
    return {};
  });
}

Result<std::vector<OrgRecord>> Store::list_orgs() {
  using List = Result<std::vector<OrgRecord>>;
  return impl_->db.transaction("list the orgs", [&](soci::session& sql) -> List {
    std::vector<OrgRecord> orgs;
    std::string name;
    long long created_at = 0;
    long long sites = 0;
    long long targets = 0;
    soci::statement rows =
        (sql.prepare << "SELECT name, created_at, (SELECT COUNT(*) FROM sites WHERE org = orgs.name), "
                        "(SELECT COUNT(*) FROM targets WHERE org = orgs.name) FROM orgs ORDER BY name",
         into(name), into(created_at), into(sites), into(targets));
    rows.execute();
    while (rows.fetch())
      orgs.push_back({name, from_seconds(created_at), static_cast<std::uint64_t>(sites),
                      static_cast<std::uint64_t>(targets)});
    return orgs;
  });
}

Result<void> Store::add_target(const TargetRecord& target, const Actor& actor) {
  return impl_->db.transaction("add a target", [&](soci::session& sql) -> Result<void> {
    if (!org_exists(sql, target.org)) return unknown_org(target.org);
    if (target_exists(sql, target.org, target.name))
      return Error{Errc::AlreadyExists, "org '" + target.org + "' has a target '" + target.name +
                                            "' already; nothing was changed; to move it, remove it first"};
    const int port = target.port;
    const int permitted = target.address_permitted ? 1 : 0;
    const long long now = to_seconds(actor.at);
    sql << "INSERT INTO targets (org, name, host, port, address_permitted, created_at) "
           "VALUES (:org, :name, :host, :port, :permitted, :now)",
        use(target.org), use(target.name), use(target.host), use(port), use(permitted), use(now);
    append_audit_row(sql, actor, "target.add", target.org + "/" + target.name,
                     "host=" + target.host + " port=" + std::to_string(port) +
                         (target.address_permitted ? " address_permitted" : ""));
    return {};
  });
}

Result<void> Store::remove_target(const std::string& org, const std::string& target, const Actor& actor) {
  return impl_->db.transaction("remove a target", [&](soci::session& sql) -> Result<void> {
    if (!org_exists(sql, org)) return unknown_org(org);
    if (!target_exists(sql, org, target)) return unknown_target(org, target);
    sql << "DELETE FROM targets WHERE org = :org AND name = :name", use(org), use(target);
    sql << "DELETE FROM limits WHERE org = :org AND target = :name", use(org), use(target);
    append_audit_row(sql, actor, "target.remove", org + "/" + target, "");
    return {};
  });
}

namespace {

std::vector<TargetRecord> select_targets(soci::session& sql, const std::string& org) {
  std::vector<TargetRecord> targets;
  TargetRecord row;
  int port = 0;
  int permitted = 0;
  soci::statement rows =
      (sql.prepare << "SELECT org, name, host, port, address_permitted FROM targets "
                      "WHERE :org = '' OR org = :org ORDER BY org, name",
       use(org, "org"), into(row.org), into(row.name), into(row.host), into(port), into(permitted));
  rows.execute();
  while (rows.fetch()) {
    row.port = static_cast<std::uint16_t>(port);
    row.address_permitted = permitted != 0;
    targets.push_back(row);
  }
  return targets;
}

std::vector<SiteRecord> select_sites(soci::session& sql, const std::string& org) {
  std::vector<SiteRecord> sites;
  SiteRecord row;
  long long created_at = 0;
  long long not_after = 0;
  soci::indicator enrolled = soci::i_null;
  soci::statement rows =
      (sql.prepare << "SELECT org, name, created_at, (SELECT MAX(not_after) FROM site_certificates AS c "
                      "WHERE c.org = sites.org AND c.site = sites.name AND c.revoked_at IS NULL) "
                      "FROM sites WHERE :org = '' OR org = :org ORDER BY org, name",
       use(org, "org"), into(row.org), into(row.name), into(created_at), into(not_after, enrolled));
  rows.execute();
  while (rows.fetch()) {
    row.created_at = from_seconds(created_at);
    row.certificate_expires_at.reset();
    if (enrolled == soci::i_ok) row.certificate_expires_at = from_seconds(not_after);
    sites.push_back(row);
  }
  return sites;
}

std::vector<CertificateRecord> select_certificates(soci::session& sql) {
  std::vector<CertificateRecord> certificates;
  CertificateRecord row;
  long long issued_at = 0;
  long long not_after = 0;
  soci::statement rows = (sql.prepare << "SELECT serial, org, site, spki_sha256, issued_at, not_after "
                                         "FROM site_certificates WHERE revoked_at IS NULL ORDER BY serial",
                          into(row.serial), into(row.org), into(row.site), into(row.spki_sha256),
                          into(issued_at), into(not_after));
  rows.execute();
  while (rows.fetch()) {
    row.issued_at = from_seconds(issued_at);
    row.not_after = from_seconds(not_after);
    certificates.push_back(row);
  }
  return certificates;
}

}  // namespace

Result<std::vector<TargetRecord>> Store::list_targets(const std::string& org) {
  using List = Result<std::vector<TargetRecord>>;
  return impl_->db.transaction("list the targets", [&](soci::session& sql) -> List {
    if (!org.empty() && !org_exists(sql, org)) return unknown_org(org);
    return select_targets(sql, org);
  });
}

Result<void> Store::remove_site(const std::string& org, const std::string& site, const Actor& actor) {
  return impl_->db.transaction("remove a site", [&](soci::session& sql) -> Result<void> {
    if (!org_exists(sql, org)) return unknown_org(org);
    if (!site_exists(sql, org, site)) return unknown_site(org, site);
    sql << "DELETE FROM sites WHERE org = :org AND name = :site", use(org), use(site);
    sql << "DELETE FROM limits WHERE org = :org AND site = :site", use(org), use(site);
    append_audit_row(sql, actor, "site.remove", org + "/" + site, "");
    return {};
  });
}

Result<std::vector<SiteRecord>> Store::list_sites(const std::string& org) {
  using List = Result<std::vector<SiteRecord>>;
  return impl_->db.transaction("list the sites", [&](soci::session& sql) -> List {
    if (!org.empty() && !org_exists(sql, org)) return unknown_org(org);
    return select_sites(sql, org);
  });
}

Result<PolicyData> Store::read_policy() {
  return impl_->db.transaction("read the policy", [](soci::session& sql) -> Result<PolicyData> {
    PolicyData policy;
    std::string org;
    soci::statement rows = (sql.prepare << "SELECT name FROM orgs ORDER BY name", into(org));
    rows.execute();
    while (rows.fetch()) policy.orgs.push_back(org);
    policy.sites = select_sites(sql, "");
    policy.targets = select_targets(sql, "");
    policy.certificates = select_certificates(sql);
    auto limits = select_limits(sql, "");
    if (!limits) return std::move(limits).error();
    policy.limits = {std::move(*limits), select_lane_ceilings(sql, "")};
    return policy;
  });
}

}  // namespace culvert
