// At most so many failed enrolments a minute from one address (docs/rest-api.md §3), in bounded memory.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <string>

#include "tunnel-core/base/time.hpp"

namespace culvert {

class FailureLimiter {
 public:
  static constexpr std::size_t kFailures = 10;
  static constexpr Duration kWindow = std::chrono::minutes{1};
  /// Beyond this many addresses the one that failed longest ago is forgotten: better one guess more than no
  /// bound.
  static constexpr std::size_t kAddresses = 4096;

  /// False while `address` has used up its failures.
  bool allows(const std::string& address, Instant now);
  void record_failure(const std::string& address, Instant now);

 private:
  void forget_old(Instant now);

  std::mutex mutex_;
  std::map<std::string, std::deque<Instant>> failures_;  // At most kFailures per address, oldest first.
};

}  // namespace culvert
