// Who may do what, as data threads see it: an immutable snapshot of the store, replaced as a whole after each
// change. Reading it takes no lock, no file and no database.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "certs/site_identity.hpp"
#include "cloud-gateway/control/target_address.hpp"
#include "cloud-gateway/store/records.hpp"
#include "cloud-gateway/store/store.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

/// What a verified TLS connection says about its peer. Whether it may come in is for PolicySnapshot to say.
struct SiteCertificate {
  std::string serial;  ///< Lower-case hexadecimal, as certs::Certificate::serial().
  certs::SiteIdentity identity;
};

class PolicySnapshot {
 public:
  PolicySnapshot() = default;
  PolicySnapshot(const PolicyData& data, std::uint64_t version);

  /// Counts from 1; 0 is the empty snapshot before the first rebuild.
  std::uint64_t version() const { return version_; }

  /// Is this certificate known, unrevoked, not expired, and of a living site? Asked of every call and every
  /// HELLO.
  /// @error AccessRevoked: for good, and what the site had running was ended with it. Unauthorized: expired.
  Result<void> authorise_site(const SiteCertificate& certificate, WallTime now) const;

  /// Asked of every OPEN.
  /// @error AccessRevoked: the org or the site is gone. TargetUnknown: no target of that name among those of
  /// the
  ///        org; whether another org has one is not told.
  Result<TargetAddress> authorise_open(const certs::SiteIdentity& identity, const std::string& target) const;

  /// When a known certificate ends.
  std::optional<WallTime> expiry_of(const std::string& serial) const;

  /// Null: no such limit.
  const BandwidthLimit* limit_of(const LimitScope& scope) const;
  /// True when some limit has a weekly window.
  bool has_windows() const { return has_windows_; }
  /// The most lanes of a session of the org: `most`, or the org's own ceiling where that is lower.
  std::uint64_t lanes_of(const std::string& org, std::uint64_t most) const;

  /// Sorted. Empty for an unknown org.
  std::vector<std::string> targets_of(const std::string& org) const;

 private:
  struct Org {
    std::map<std::string, TargetAddress> targets;
    std::set<std::string> sites;
  };
  struct Certificate {
    certs::SiteIdentity identity;
    WallTime not_after;
  };

  std::uint64_t version_ = 0;
  std::map<std::string, Org> orgs_;
  std::map<std::string, Certificate> certificates_;  // By serial.
  std::map<LimitScope, BandwidthLimit> limits_;
  std::map<std::string, std::uint64_t> lanes_;  // Ceilings by org.
  bool has_windows_ = false;
};

/// Holds the present snapshot. Control threads publish, any thread reads.
class PolicyHub {
 public:
  /// Reads the store and publishes what it says now. Returns when every later current() sees it.
  /// @error those of Store::read_policy(); the snapshot before stays in force.
  Result<void> rebuild(Store& store);

  /// Never null.
  std::shared_ptr<const PolicySnapshot> current() const;

  /// One atomic load: a data thread keeps its pointer and asks for a new one when this has changed.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

 private:
  std::mutex rebuild_;  // An older read must not be published after a newer one.
  mutable std::mutex mutex_;
  std::shared_ptr<const PolicySnapshot> current_ =
      std::make_shared<PolicySnapshot>();  // Shared with its readers.
  std::atomic<std::uint64_t> version_ = 0;
};

}  // namespace culvert
