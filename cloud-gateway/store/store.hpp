// The store: orgs, sites, certificates, targets, limits, joining tokens, reported forwards and the audit log,
// in one SQLite file. Every change is one transaction together with its audit entry: after a crash at any
// point the store holds all of it or nothing. What SQL and SOCI look like stays inside this folder.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cloud-gateway/store/records.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

/// What the certificate authority answers when an enrolment is granted.
struct IssuedCertificate {
  CertificateRecord certificate;
  std::string pem;
};

struct EnrolmentRequest {
  std::string secret_sha256;
  std::string spki_sha256;  ///< Of the key in the signing request.
};

struct EnrolmentOutcome {
  std::string org;
  std::string site;
  std::string certificate_pem;
  bool repeated = false;  ///< The same secret and key had been answered before; nothing changed.
};

/// Every method may be called from any thread, blocks on the disk, and runs alone.
/// @error of all: DiskFull, StoreFailed; nothing has changed then.
class Store {
 public:
  /// Makes a new store, readable by its owner only.
  /// @error AlreadyExists when there is a file of that name.
  static Result<Store> create(const std::filesystem::path& path);
  /// Opens a store and brings it to this program's schema. An empty file or another program's database is
  /// not taken for a new one: a gateway that comes up without its orgs would refuse every site.
  /// @error NotFound; StoreFailed when it was written by a newer program or is no store.
  static Result<Store> open(const std::filesystem::path& path);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  /// @error AlreadyExists.
  Result<void> add_org(const std::string& org, const Actor& actor);
  /// Removes the org with its targets and sites. @error NotFound.
  Result<void> remove_org(const std::string& org, const Actor& actor);
  Result<std::vector<OrgRecord>> list_orgs();

  /// @error NotFound (org), AlreadyExists.
  Result<void> add_target(const TargetRecord& target, const Actor& actor);
  /// @error NotFound.
  Result<void> remove_target(const std::string& org, const std::string& target, const Actor& actor);
  /// Of one org, or of all when `org` is empty; sorted by org and name. @error NotFound (org).
  Result<std::vector<TargetRecord>> list_targets(const std::string& org);

  /// Removes the site with its certificates and joining tokens. @error NotFound.
  Result<void> remove_site(const std::string& org, const std::string& site, const Actor& actor);
  /// As list_targets. @error NotFound (org).
  Result<std::vector<SiteRecord>> list_sites(const std::string& org);

  /// Adds the site when it is new. @error NotFound (org).
  Result<void> add_joining_token(const JoiningToken& token, const Actor& actor);
  /// Uses a joining token. `issue` is called at most once, inside the transaction; the site's older
  /// certificates are revoked with it.
  /// @error JoiningStringInvalid, JoiningStringExpired, whatever `issue` returns.
  Result<EnrolmentOutcome> enrol(
      const EnrolmentRequest& request, const Actor& actor,
      const std::function<Result<IssuedCertificate>(const std::string& org, const std::string& site)>& issue);

  /// Replaces what the site reported before; a report is not a decision and is not audited. @error NotFound.
  Result<void> replace_forwards(const std::string& org, const std::string& site,
                                const std::vector<ForwardRecord>& forwards);
  Result<std::vector<ForwardRecord>> list_forwards(const std::string& org, const std::string& site);

  using LimitEdit = std::function<Result<void>(BandwidthLimit&)>;
  /// Edits the limit of a scope, an empty one when there is none yet, inside the transaction.
  /// @return what it is now. @error NotFound (org, site, target), whatever `edit` returns.
  Result<LimitRecord> change_limit(const LimitScope& scope, const LimitEdit& edit, const Actor& actor);
  /// @param lanes  1 to 32; 0: none of its own. @error NotFound.
  Result<void> set_lane_ceiling(const std::string& org, std::uint64_t lanes, const Actor& actor);
  /// As list_targets; sorted by org, site and target. @error NotFound (org).
  Result<LimitList> list_limits(const std::string& org);

  Result<PolicyData> read_policy();

  /// Records a decision that changes nothing else in the store.
  Result<void> append_audit(const Actor& actor, const std::string& action, const std::string& object,
                            const std::string& detail);
  /// Newest last, at most `limit`.
  Result<std::vector<AuditEntry>> list_audit(std::size_t limit);
  /// Walks the whole hash chain. Returns the number of entries.
  /// @error StoreFailed naming the first entry that was changed or is missing.
  Result<std::uint64_t> verify_audit();

 private:
  struct Impl;
  enum class Expected { NewFile, Schema };
  static Result<Store> open_file(const std::filesystem::path& path, Expected expected);
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace culvert
