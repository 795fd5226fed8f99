// Names to addresses, so that a name server which does not answer holds up nobody but who asked it. Asio
// makes all lookups of an io_context one after the other, on one thread; getaddrinfo(3) cannot be cancelled.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert {

/// One lookup, on a thread of its own that shares nothing but this object and may outlive everybody who
/// waits.
class HostLookup {
 public:
  using Addresses = std::vector<boost::asio::ip::address>;

  /// Null when the process has no thread or descriptor left for it, or kMost lookups run.
  static std::shared_ptr<HostLookup> start(const std::string& host);
  static constexpr std::size_t kMost = 512;  ///< In the process.

  bool done() const { return done_.load(std::memory_order_acquire); }
  /// Once done: at least one address, in the system's order of preference.
  /// @error NameUnresolved with the resolver's reason.
  const Result<Addresses>& outcome() const { return outcome_; }
  int fd() const { return ready_.value(); }  ///< Readable once done.

 private:
  explicit HostLookup(UniqueFd ready) : ready_(std::move(ready)) {}
  void run(const std::string& host);

  const UniqueFd ready_;
  Result<Addresses> outcome_ = Error{Errc::NameUnresolved, "not looked up yet"};
  std::atomic<bool> done_ = false;
};

/// The lookups of one owner, such as a session: whoever asks for a name that is being looked up joins in. Of
/// one thread.
class HostLookups {
 public:
  /// @param most  names at once.
  explicit HostLookups(std::size_t most) : most_(most) {}

  /// @return null when too many run, here or in the process.
  std::shared_ptr<HostLookup> look_up(const std::string& host);

 private:
  const std::size_t most_;
  std::map<std::string, std::shared_ptr<HostLookup>> running_;
};

/// Waits until the lookup is done, `patience` at most. @return whether it is.
boost::asio::awaitable<bool> until_done(std::shared_ptr<HostLookup> lookup, Duration patience);

}  // namespace culvert
