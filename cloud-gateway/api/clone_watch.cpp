#include "cloud-gateway/api/clone_watch.hpp"

#include <algorithm>

namespace culvert {

bool CloneWatch::observe(const certs::SiteIdentity& identity, const InstanceId& instance, Instant now) {
  const std::lock_guard lock{mutex_};
  Site& site = sites_[{identity.org, identity.site}];
  const bool came_back =
      site.current != instance && std::find(site.seen.begin(), site.seen.end(), instance) != site.seen.end();
  site.current = instance;
  if (std::find(site.seen.begin(), site.seen.end(), instance) == site.seen.end()) {
    site.seen.push_back(instance);
    if (site.seen.size() > kRemembered) site.seen.pop_front();
  }
  if (!came_back) return false;

  while (!site.alternations.empty() && site.alternations.front() + kWindow <= now)
    site.alternations.pop_front();
  site.alternations.push_back(now);
  if (site.alternations.size() <= kAlternations) return false;
  site.alternations.pop_front();
  if (site.has_reported && now < site.reported + kWindow) return false;
  site.has_reported = true;
  site.reported = now;
  return true;
}

}  // namespace culvert
