// The bandwidth limits of the sessions of one data thread, as the policy has them at this moment.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "certs/site_identity.hpp"
#include "cloud-gateway/control/live_status.hpp"
#include "cloud-gateway/control/policy.hpp"
#include "tunnel-core/net/data_thread.hpp"
#include "tunnel-core/net/rate_limit.hpp"

namespace culvert {

struct BucketPair {
  std::shared_ptr<TokenBucket> up = std::make_shared<TokenBucket>();
  std::shared_ptr<TokenBucket> down = std::make_shared<TokenBucket>();
};

/// One pair for each scope that has a limit, whichever threads its streams are on. Any thread.
class SharedBuckets {
 public:
  BucketPair of(const LimitScope& scope);

 private:
  std::mutex mutex_;
  std::map<LimitScope, BucketPair> buckets_;
};

/// Of one data thread.
class LimitBook {
 public:
  /// @param now  the calendar time, for tests. The others outlive the book, which outlives all streams.
  LimitBook(DataThread& thread, PolicyHub& policy, SharedBuckets& buckets,
            std::function<WallTime()> now = certs::utc_now);

  /// What the streams of a site to one of its targets keep to; there also without any limit, because one may
  /// come. Stays valid.
  const StreamLimits& of_streams(const certs::SiteIdentity& site, const std::string& target);

  /// Puts what the policy and the clock say now into force.
  void apply_policy();

  /// Which limits held back a stream within the last second.
  std::vector<LiveLimit> limiting() const;

 private:
  struct Limit {
    RateLimit up;
    RateLimit down;
  };
  struct Streams {
    certs::SiteIdentity site;
    std::string target;
    StreamLimits limits;
  };
  using StreamsKey = std::tuple<std::string, std::string, std::string>;

  Rates rates_of(const LimitScope& scope, WeekMinute now) const;
  Limit* limit_of(const LimitScope& scope, WeekMinute now);
  void link(Streams& streams, WeekMinute now);
  void watch_windows();

  DataThread& thread_;
  PolicyHub& hub_;
  SharedBuckets& buckets_;
  const std::function<WallTime()> now_;
  std::shared_ptr<const PolicySnapshot> policy_;         ///< Shared with the hub.
  std::map<LimitScope, std::unique_ptr<Limit>> limits_;  ///< Never erased from: streams refer to them.
  std::map<StreamsKey, Streams> streams_;                ///< Likewise; as many as sites have targets.
  boost::asio::steady_timer window_timer_;
  bool watching_ = false;
};

}  // namespace culvert
