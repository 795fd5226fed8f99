#include "tunnel-core/net/task_group.hpp"

#include <boost/asio/co_spawn.hpp>
#include <utility>

#include "tunnel-core/net/async_event.hpp"

namespace culvert {

namespace asio = boost::asio;

struct TaskGroup::State {
  State(asio::any_io_executor runs_on, FailureHandler handler)
      : executor(runs_on), on_failure(std::move(handler)), all_done(std::move(runs_on)) {}

  void finished(const std::exception_ptr& failure) {
    --running;
    if (failure && on_failure) {
      on_failure(failure);
    } else if (failure && !first_failure) {
      first_failure = failure;
    }
    if (running == 0) all_done.notify_all();
  }

  asio::any_io_executor executor;
  FailureHandler on_failure;
  AsyncEvent all_done;
  std::size_t running = 0;
  std::exception_ptr first_failure;
};

TaskGroup::TaskGroup(asio::any_io_executor executor, FailureHandler on_failure)
    : state_(std::make_shared<State>(std::move(executor), std::move(on_failure))) {}

void TaskGroup::spawn(asio::awaitable<void> task) {
  ++state_->running;
  asio::co_spawn(state_->executor, std::move(task),
                 [state = state_](std::exception_ptr failure) { state->finished(failure); });
}

std::size_t TaskGroup::running() const {
  return state_->running;
}

asio::awaitable<void> TaskGroup::join() {
  const std::shared_ptr<State> state = state_;
  while (state->running != 0) co_await state->all_done.wait();
  if (state->first_failure) std::rethrow_exception(std::exchange(state->first_failure, nullptr));
}

}  // namespace culvert
