#include "cloud-gateway/data/limit_book.hpp"

#include <array>

namespace culvert {
namespace {

/// Twice within the second after which a window has to be in force.
constexpr auto kWindowCheck = std::chrono::milliseconds{500};

/// From the narrowest to the widest: what the narrow ones hold back does not wait in the queue of a wide one.
std::array<LimitScope, kLimitsOfStream> scopes_of(const certs::SiteIdentity& site,
                                                  const std::string& target) {
  return {LimitScope{site.org, site.site, target}, LimitScope{site.org, {}, target},
          LimitScope{site.org, site.site, {}}, LimitScope{site.org, {}, {}}};
}

}  // namespace

BucketPair SharedBuckets::of(const LimitScope& scope) {
  const std::lock_guard lock{mutex_};
  return buckets_[scope];
}

LimitBook::LimitBook(DataThread& thread, PolicyHub& policy, SharedBuckets& buckets,
                     std::function<WallTime()> now)
    : thread_(thread),
      hub_(policy),
      buckets_(buckets),
      now_(std::move(now)),
      policy_(policy.current()),
      window_timer_(thread.io()) {
  // The policy of a gateway that starts is older than its threads: nobody tells them that it has windows.
  if (policy_->has_windows()) watch_windows();
}

const StreamLimits& LimitBook::of_streams(const certs::SiteIdentity& site, const std::string& target) {
  if (policy_->version() != hub_.version()) apply_policy();
  const auto [at, is_new] = streams_.try_emplace({site.org, site.site, target}, Streams{site, target, {}});
  if (is_new) link(at->second, local_week_minute(now_()));
  return at->second.limits;
}

void LimitBook::apply_policy() {
  policy_ = hub_.current();
  const WeekMinute now = local_week_minute(now_());
  for (auto& [scope, limit] : limits_) {
    const Rates rates = rates_of(scope, now);
    limit->up.set_rate(rates.up);
    limit->down.set_rate(rates.down);
  }
  for (auto& [key, streams] : streams_) link(streams, now);
  if (policy_->has_windows() && !watching_) watch_windows();
}

Rates LimitBook::rates_of(const LimitScope& scope, WeekMinute now) const {
  const BandwidthLimit* const limit = policy_->limit_of(scope);
  return limit == nullptr ? Rates{} : limit->rates_at(now);
}

/// Null where there neither is nor was a limit.
LimitBook::Limit* LimitBook::limit_of(const LimitScope& scope, WeekMinute now) {
  if (const auto known = limits_.find(scope); known != limits_.end()) return known->second.get();
  if (policy_->limit_of(scope) == nullptr) return nullptr;
  const BucketPair buckets = buckets_.of(scope);
  auto& limit = limits_[scope];
  limit.reset(
      new Limit{{thread_.io(), thread_.clock(), buckets.up}, {thread_.io(), thread_.clock(), buckets.down}});
  const Rates rates = rates_of(scope, now);
  limit->up.set_rate(rates.up);
  limit->down.set_rate(rates.down);
  return limit.get();
}

/// Here a target is what is read and written: its bytes go down to the site.
void LimitBook::link(Streams& streams, WeekMinute now) {
  const auto scopes = scopes_of(streams.site, streams.target);
  for (std::size_t place = 0; place < scopes.size(); ++place) {
    Limit* const limit = limit_of(scopes[place], now);
    streams.limits.set(RelayDirection::Read, place, limit == nullptr ? nullptr : &limit->down);
    streams.limits.set(RelayDirection::Write, place, limit == nullptr ? nullptr : &limit->up);
  }
  streams.limits.refresh();
}

void LimitBook::watch_windows() {
  watching_ = true;
  window_timer_.expires_after(kWindowCheck);
  window_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    watching_ = false;
    apply_policy();
  });
}

std::vector<LiveLimit> LimitBook::limiting() const {
  std::vector<LiveLimit> list;
  for (const auto& [scope, limit] : limits_) {
    const LiveLimit live{scope, limit->up.limiting(), limit->down.limiting()};
    if (live.up || live.down) list.push_back(live);
  }
  return list;
}

}  // namespace culvert
