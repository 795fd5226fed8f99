#include "tunnel-agent/limit_table.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "tunnel-core/daemon/quantity.hpp"

namespace culvert {
namespace {

/// Twice within the second after which a window has to be in force.
constexpr auto kWindowCheck = std::chrono::milliseconds{500};
constexpr std::size_t kForwardPlace = 0;
constexpr std::size_t kSitePlace = 1;

}  // namespace

LimitTable::LimitTable(boost::asio::io_context& io, const Clock& clock, std::function<certs::UtcTime()> now)
    : io_(io), clock_(clock), now_(std::move(now)), window_timer_(io) {}

void LimitTable::set(const LimitScope& scope, const BandwidthLimit& limit) {
  (scope.empty() ? site_ : forwards_[scope].limit).setting = limit;
  apply_all();
  const Rates rates = limit.rates_at(local_week_minute(now_()));
  spdlog::info("limit of {} is now up={} down={}", scope.empty() ? "the site" : "forward " + scope,
               format_rate(rates.up), format_rate(rates.down));
}

void LimitTable::set_all(const LimitMap& limits) {
  for (const auto& [scope, limit] : limits) set(scope, limit);
}

const StreamLimits& LimitTable::of_forward(const std::string& forward) {
  const auto [at, is_new] = forwards_.try_emplace(forward);
  if (is_new) apply_all();
  return at->second.streams;
}

void LimitTable::apply_all() {
  const WeekMinute now = local_week_minute(now_());
  bool windows = !site_.setting.windows.empty();
  apply(site_, now);
  for (auto& [name, forward] : forwards_) {
    windows = windows || !forward.limit.setting.windows.empty();
    apply(forward.limit, now);
    StreamLimits& streams = forward.streams;
    streams.set(RelayDirection::Read, kForwardPlace, forward.limit.up.get());
    streams.set(RelayDirection::Read, kSitePlace, site_.up.get());
    streams.set(RelayDirection::Write, kForwardPlace, forward.limit.down.get());
    streams.set(RelayDirection::Write, kSitePlace, site_.down.get());
    streams.refresh();
  }
  if (windows && !watching_) watch_windows();
  if (!windows && watching_) {
    watching_ = false;
    window_timer_.cancel();
  }
}

void LimitTable::apply(Limit& limit, WeekMinute now) {
  const Rates rates = limit.setting.rates_at(now);
  apply_rate(limit.up, rates.up);
  apply_rate(limit.down, rates.down);
}

void LimitTable::apply_rate(std::unique_ptr<RateLimit>& limit, BitRate rate) {
  if (limit == nullptr) {
    if (rate.value == 0) return;
    limit = std::make_unique<RateLimit>(io_, clock_, std::make_shared<TokenBucket>());
  }
  limit->set_rate(rate);
}

void LimitTable::watch_windows() {
  watching_ = true;
  window_timer_.expires_after(kWindowCheck);
  window_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled || !watching_) return;
    watching_ = false;
    apply_all();
  });
}

LimitStatus LimitTable::status_of(const LimitScope& scope, const Limit& limit) const {
  const WeekMinute now = local_week_minute(now_());
  const RateWindow* const window = limit.setting.window_at(now);
  const Rates rates = limit.setting.rates_at(now);
  LimitStatus status;
  status.forward = scope;
  status.window = window == nullptr ? "" : window->window.to_text();
  status.up_bits_per_s = rates.up.value;
  status.down_bits_per_s = rates.down.value;
  status.up_limiting = limit.up != nullptr && limit.up->limiting();
  status.down_limiting = limit.down != nullptr && limit.down->limiting();
  return status;
}

std::vector<LimitStatus> LimitTable::status() const {
  std::vector<LimitStatus> list;
  if (!site_.setting.empty()) list.push_back(status_of({}, site_));
  for (const auto& [name, forward] : forwards_) {
    if (!forward.limit.setting.empty()) list.push_back(status_of(name, forward.limit));
  }
  return list;
}

}  // namespace culvert
