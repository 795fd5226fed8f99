// The bandwidth limits of the running agent. Lives on the thread of its streams.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "certs/utc_time.hpp"
#include "tunnel-agent/limit_files.hpp"
#include "tunnel-agent/status.hpp"
#include "tunnel-core/net/rate_limit.hpp"

namespace culvert {

class LimitTable {
 public:
  /// @param clock  outlives the table; the table outlives all streams.
  /// @param now    the calendar time, for tests.
  LimitTable(boost::asio::io_context& io, const Clock& clock,
             std::function<certs::UtcTime()> now = certs::utc_now);

  /// In force at once, for streams that run too.
  void set(const LimitScope& scope, const BandwidthLimit& limit);
  void set_all(const LimitMap& limits);

  /// What the streams of a forward keep to; there also without any limit, because one may come. Stays valid.
  const StreamLimits& of_forward(const std::string& forward);

  /// The site's first, then the forwards in the order of names; none that limits nothing.
  std::vector<LimitStatus> status() const;

 private:
  struct Limit {
    BandwidthLimit setting;
    std::unique_ptr<RateLimit> up;  ///< Made with the first rate.
    std::unique_ptr<RateLimit> down;
  };
  struct OfForward {
    Limit limit;
    StreamLimits streams;
  };

  void apply(Limit& limit, WeekMinute now);
  void apply_all();
  void apply_rate(std::unique_ptr<RateLimit>& limit, BitRate rate);
  void watch_windows();
  LimitStatus status_of(const LimitScope& scope, const Limit& limit) const;

  boost::asio::io_context& io_;
  const Clock& clock_;
  const std::function<certs::UtcTime()> now_;
  Limit site_;
  std::map<std::string, OfForward> forwards_;  ///< Never erased from: streams refer to them.
  boost::asio::steady_timer window_timer_;
  bool watching_ = false;
};

}  // namespace culvert
