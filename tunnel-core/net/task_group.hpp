// Coroutines that somebody owns: what a TaskGroup started, join() awaits, and no exception is lost.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

namespace culvert {

/// Of one thread. To stop: make every task return (close or cancel what it waits for), then co_await join().
class TaskGroup {
 public:
  using FailureHandler = std::function<void(std::exception_ptr)>;

  /// @param on_failure  called at once when a task ends with an exception. Without it, join() rethrows the
  /// first.
  explicit TaskGroup(boost::asio::any_io_executor executor, FailureHandler on_failure = {});
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  /// Starts `task` with the next turn of the executor.
  void spawn(boost::asio::awaitable<void> task);
  std::size_t running() const;
  /// Returns when no task runs any more, also none that was spawned meanwhile.
  boost::asio::awaitable<void> join();

 private:
  struct State;
  std::shared_ptr<State> state_;  ///< Owned by the group and by the completion handler of each running task.
};

}  // namespace culvert
