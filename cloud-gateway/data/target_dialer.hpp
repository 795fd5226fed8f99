// Connects to targets: all addresses of a name in turn, each judged before it is dialled. Together they have
// `dial_timeout`; each gets its share of what those before it have left. Of one thread.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>

#include "cloud-gateway/control/target_address.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/net/host_lookup.hpp"

namespace culvert {

/// Dials that run in the whole process; shared by all threads.
class DialBudget {
 public:
  explicit DialBudget(std::size_t most) : most_(most) {}
  bool take() {
    if (running_.fetch_add(1) < most_) return true;
    running_.fetch_sub(1);
    return false;
  }
  void give_back() { running_.fetch_sub(1); }

 private:
  const std::size_t most_;
  std::atomic<std::size_t> running_{0};
};

class TargetDialer {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Done = std::function<void(Result<Socket>)>;

  /// @param process  outlives the dialer.
  /// @param most     dials of this dialer at once, beside the budget of the process.
  TargetDialer(boost::asio::io_context& io, DialBudget& process, std::size_t most, Duration timeout);
  /// Waits for nothing: dials that still run end by themselves and call nobody.
  ~TargetDialer();

  /// @param done  called once, never from inside this call. A dial cannot be cancelled: it keeps its place in
  ///              the budget until it has ended, so that resets cannot be used to start ever more of them.
  /// @error DialLimitReached, TargetNameUnresolved, TargetAddressForbidden, TargetRefused, TargetUnreachable,
  ///        TargetTimedOut.
  void dial(TargetAddress target, Done done);

  std::size_t running() const { return running_; }

 private:
  /// Names that one session has looked up at once: each is a thread.
  static constexpr std::size_t kMostLookups = 32;

  struct Attempt;
  static boost::asio::awaitable<Result<HostLookup::Addresses>> addresses_of(std::shared_ptr<Attempt> attempt);
  static boost::asio::awaitable<boost::system::error_code> connect(std::shared_ptr<Attempt> attempt,
                                                                   boost::asio::ip::tcp::endpoint to,
                                                                   Duration share);
  static boost::asio::awaitable<void> run(std::shared_ptr<Attempt> attempt);
  static void note_failure(Attempt& attempt, const std::exception& failure);
  static void connect_only(std::shared_ptr<Attempt> attempt, boost::asio::ip::tcp::endpoint to);

  boost::asio::io_context& io_;
  DialBudget& budget_;
  const std::size_t most_;
  const Duration timeout_;
  std::size_t running_ = 0;
  HostLookups lookups_{kMostLookups};
  std::shared_ptr<TargetDialer*> self_;  ///< Shared with running dials; null inside once destroyed.
};

}  // namespace culvert
