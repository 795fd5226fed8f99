#include "cloud-gateway/control/policy.hpp"

#include <algorithm>

namespace culvert {

namespace {

Error revoked(const std::string& why, const std::string& advice) {
  return Error{Errc::AccessRevoked, why + "; " + advice};
}

constexpr const char* kEnrolAgain = "ask the provider for a new joining string and join again";

}  // namespace

PolicySnapshot::PolicySnapshot(const PolicyData& data, std::uint64_t version) : version_(version) {
  for (const std::string& org : data.orgs) orgs_[org];
  for (const SiteRecord& site : data.sites) orgs_[site.org].sites.insert(site.name);
  for (const TargetRecord& target : data.targets)
    orgs_[target.org].targets[target.name] = {target.host, target.port, target.address_permitted};
  for (const CertificateRecord& certificate : data.certificates)
    certificates_[certificate.serial] = {{certificate.org, certificate.site}, certificate.not_after};
  for (const LimitRecord& record : data.limits.limits) {
    limits_[record.scope] = record.limit;
    has_windows_ = has_windows_ || !record.limit.windows.empty();
  }
  lanes_ = data.limits.lanes;
}

Result<void> PolicySnapshot::authorise_site(const SiteCertificate& certificate, WallTime now) const {
  const auto known = certificates_.find(certificate.serial);
  if (known == certificates_.end())
    return revoked("the certificate with serial " + certificate.serial + " is unknown or revoked",
                   kEnrolAgain);
  // The serial belongs to one site; a certificate that names another was not made from our records.
  if (known->second.identity != certificate.identity)
    return revoked("the certificate with serial " + certificate.serial + " belongs to another site",
                   kEnrolAgain);
  if (known->second.not_after < now)
    return Error{Errc::Unauthorized, "the certificate of site '" + certificate.identity.site +
                                         "' expired at " + certs::utc_text(known->second.not_after) + "; " +
                                         kEnrolAgain};
  const auto org = orgs_.find(certificate.identity.org);
  if (org == orgs_.end() || !org->second.sites.contains(certificate.identity.site))
    return revoked(
        "site '" + certificate.identity.site + "' of org '" + certificate.identity.org + "' was removed",
        kEnrolAgain);
  return {};
}

Result<TargetAddress> PolicySnapshot::authorise_open(const certs::SiteIdentity& identity,
                                                     const std::string& target) const {
  const auto org = orgs_.find(identity.org);
  if (org == orgs_.end() || !org->second.sites.contains(identity.site))
    return revoked("site '" + identity.site + "' of org '" + identity.org + "' was removed", kEnrolAgain);
  const auto found = org->second.targets.find(target);
  if (found == org->second.targets.end())
    return Error{Errc::TargetUnknown, "org '" + identity.org + "' has no target '" + target +
                                          "'; the provider adds it with 'culvert-gateway target add'"};
  return found->second;
}

std::optional<WallTime> PolicySnapshot::expiry_of(const std::string& serial) const {
  const auto known = certificates_.find(serial);
  if (known == certificates_.end()) return std::nullopt;
  return known->second.not_after;
}

const BandwidthLimit* PolicySnapshot::limit_of(const LimitScope& scope) const {
  const auto found = limits_.find(scope);
  return found == limits_.end() ? nullptr : &found->second;
}

std::uint64_t PolicySnapshot::lanes_of(const std::string& org, std::uint64_t most) const {
  const auto found = lanes_.find(org);
  return found == lanes_.end() ? most : std::min(most, found->second);
}

std::vector<std::string> PolicySnapshot::targets_of(const std::string& org) const {
  std::vector<std::string> names;
  const auto found = orgs_.find(org);
  if (found == orgs_.end()) return names;
  for (const auto& [name, address] : found->second.targets) names.push_back(name);
  return names;
}

Result<void> PolicyHub::rebuild(Store& store) {
  const std::lock_guard one_at_a_time{rebuild_};
  auto data = store.read_policy();
  if (!data) return std::move(data).error().at("put the change into force");
  const std::uint64_t next = version() + 1;
  auto snapshot = std::make_shared<const PolicySnapshot>(*data, next);
  const std::lock_guard lock{mutex_};
  current_ = std::move(snapshot);
  version_.store(next, std::memory_order_release);
  return {};
}

std::shared_ptr<const PolicySnapshot> PolicyHub::current() const {
  const std::lock_guard lock{mutex_};
  return current_;
}

}  // namespace culvert
