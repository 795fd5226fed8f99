// Notices two agents that run with one identity: their instance ids alternate (docs/rest-api.md §4).
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "certs/site_identity.hpp"
#include "cloud-gateway/api/session_service.hpp"
#include "tunnel-core/base/time.hpp"

namespace culvert {

class CloneWatch {
 public:
  static constexpr std::size_t kAlternations = 3;
  static constexpr Duration kWindow = std::chrono::minutes{5};

  /// Call for every session that is made. A restart brings an id never seen before and is no alternation;
  /// only an id that comes back after another one is.
  /// @return true when this is the first alternation beyond kAlternations within kWindow: time to say so.
  /// Reported
  ///         once per window, not once per session.
  bool observe(const certs::SiteIdentity& identity, const InstanceId& instance, Instant now);

 private:
  struct Site {
    InstanceId current{};
    std::deque<InstanceId> seen;  // The latest few, so that a site's memory is bounded.
    std::deque<Instant> alternations;
    Instant reported{};
    bool has_reported = false;
  };
  static constexpr std::size_t kRemembered = 8;

  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Site>
      sites_;  // Enrolled sites only: as many as the store has.
};

}  // namespace culvert
