// A time limit on something that can be closed or cancelled: Asio 1.74 has no cancellation of its own.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>

#include "tunnel-core/base/time.hpp"

namespace culvert {

/// Calls `on_expiry` once when the time is over and the Deadline still lives; typically it closes a socket.
/// Of one thread. Afterwards expired() tells a timeout from any other failure.
class Deadline {
 public:
  Deadline(boost::asio::any_io_executor executor, Duration limit, std::function<void()> on_expiry);
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline();

  bool expired() const;
  /// Starts the time again, unless it is over.
  void restart(Duration limit);

 private:
  struct State;
  std::shared_ptr<State> state_;  ///< Owned by this object and by the pending timer's handler.
};

}  // namespace culvert
