// What watches the API's callers: repeated failures, cloned identities.
#include <catch2/catch.hpp>

#include "cloud-gateway/api/clone_watch.hpp"
#include "cloud-gateway/api/failure_limiter.hpp"

namespace culvert {

TEST_CASE("CloneWatch: restarts, repeated calls and slow alternation are no clone", "[api][session]") {
  CloneWatch watch;
  const certs::SiteIdentity site{"acme", "tokyo"};
  Instant now{};
  for (int i = 0; i < 50; ++i) {
    InstanceId fresh{};
    fresh[0] = static_cast<std::byte>(i);
    CHECK_FALSE(watch.observe(site, fresh, now));
    CHECK_FALSE(watch.observe(site, fresh, now));
    now += 1s;
  }
  InstanceId a{std::byte{0xa}};
  InstanceId b{std::byte{0xb}};
  for (int i = 0; i < 50; ++i) {
    CHECK_FALSE(watch.observe(site, i % 2 == 0 ? a : b, now));
    now += 2min;
  }
}

TEST_CASE("FailureLimiter: addresses beyond its memory push out the oldest", "[api]") {
  FailureLimiter limiter;
  Instant now{};
  for (std::size_t i = 0; i < FailureLimiter::kFailures; ++i) limiter.record_failure("first", now);
  CHECK_FALSE(limiter.allows("first", now));
  for (std::size_t i = 0; i < FailureLimiter::kAddresses; ++i) {
    now += 1ms;
    limiter.record_failure("address " + std::to_string(i), now);
  }
  CHECK(limiter.allows("first", now));
}

}  // namespace culvert
