#include "cloud-gateway/api/failure_limiter.hpp"

#include <algorithm>

namespace culvert {

bool FailureLimiter::allows(const std::string& address, Instant now) {
  const std::lock_guard lock{mutex_};
  const auto found = failures_.find(address);
  return found == failures_.end() || found->second.size() < kFailures ||
         found->second.front() + kWindow <= now;
}

void FailureLimiter::record_failure(const std::string& address, Instant now) {
  const std::lock_guard lock{mutex_};
  if (failures_.size() >= kAddresses && !failures_.contains(address)) forget_old(now);
  auto& times = failures_[address];
  times.push_back(now);
  if (times.size() > kFailures) times.pop_front();
}

void FailureLimiter::forget_old(Instant now) {
  std::erase_if(failures_, [now](const auto& entry) { return entry.second.back() + kWindow <= now; });
  if (failures_.size() < kAddresses) return;
  failures_.erase(std::min_element(failures_.begin(), failures_.end(), [](const auto& a, const auto& b) {
    return a.second.back() < b.second.back();
  }));
}

}  // namespace culvert
