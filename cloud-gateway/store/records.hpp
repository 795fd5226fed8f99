// What the store keeps, as values. Names are checked by those who accept them (control/names.hpp), not here.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tunnel-core/daemon/bandwidth_limit.hpp"

namespace culvert {

/// The calendar time of a decision; the protocol's own instants never appear here.
using WallTime = std::chrono::sys_seconds;

/// Who decides, and when: goes into the audit log with each change.
struct Actor {
  std::string name;  ///< `uid:0`, `site:acme/tokyo`, `address:203.0.113.7`.
  WallTime at;
};

struct OrgRecord {
  std::string name;
  WallTime created_at;
  std::uint64_t sites = 0;    ///< How many it has; ignored when adding.
  std::uint64_t targets = 0;  ///< Likewise.
};

struct TargetRecord {
  std::string org;
  std::string name;
  std::string host;  ///< A DNS name or an address, without brackets.
  std::uint16_t port = 0;
  bool address_permitted = false;  ///< The administrator wrote a forbidden address, or localhost, literally.
};

struct SiteRecord {
  std::string org;
  std::string name;
  WallTime created_at;
  std::optional<WallTime> certificate_expires_at;  ///< Absent until the site has enrolled.
};

struct CertificateRecord {
  std::string serial;  ///< Lower-case hexadecimal.
  std::string org;
  std::string site;
  std::string spki_sha256;  ///< Of the public key, lower-case hexadecimal.
  WallTime issued_at;
  WallTime not_after;
};

struct JoiningToken {
  std::string secret_sha256;  ///< The secret itself is never stored.
  std::string org;
  std::string site;
  WallTime expires_at;
};

/// One forward as its agent last reported it.
struct ForwardRecord {
  std::string name;
  std::uint16_t port = 0;
  std::string state;  ///< listening, closed, failed.
  std::string error;  ///< Empty unless failed.
};

/// Whose streams share a limit: those of an org, of one of its sites, to one of its targets, or both.
struct LimitScope {
  std::string org;
  std::string site;    ///< Empty: all.
  std::string target;  ///< Likewise.
  friend auto operator<=>(const LimitScope&, const LimitScope&) = default;
};

struct LimitRecord {
  LimitScope scope;
  BandwidthLimit limit;
};

struct LimitList {
  std::vector<LimitRecord> limits;
  std::map<std::string, std::uint64_t> lanes;  ///< Ceilings by org, where one is set.
};

struct AuditEntry {
  std::uint64_t seq = 0;
  WallTime time;
  std::string actor;
  std::string action;  ///< `org.add`, `site.enrol`, …
  std::string object;  ///< `acme`, `acme/tokyo`.
  std::string detail;
};

/// Everything an authorisation needs, read in one transaction.
struct PolicyData {
  std::vector<std::string> orgs;
  std::vector<SiteRecord> sites;
  std::vector<TargetRecord> targets;
  std::vector<CertificateRecord> certificates;  ///< Unrevoked ones only.
  LimitList limits;
};

}  // namespace culvert
