// A condition variable for the coroutines of one thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

namespace culvert {

/// Not sticky: check the condition, then wait, in a loop. Between check and wait nothing else runs on the
/// thread, so no wake-up is lost. Outlives its waiters.
class AsyncEvent {
 public:
  explicit AsyncEvent(boost::asio::any_io_executor executor);

  /// Until the next notify_all().
  boost::asio::awaitable<void> wait();
  void notify_all();

 private:
  boost::asio::steady_timer never_;
};

}  // namespace culvert
