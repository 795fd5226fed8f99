#include "tunnel-core/net/deadline.hpp"

#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace culvert {

namespace asio = boost::asio;

struct Deadline::State : std::enable_shared_from_this<Deadline::State> {
  State(asio::any_io_executor executor, std::function<void()> handler)
      : timer(std::move(executor)), on_expiry(std::move(handler)) {}

  void start(Duration limit) {
    timer.expires_after(limit);
    timer.async_wait([self = shared_from_this(), turn = ++turns](const boost::system::error_code& error) {
      // A handler that was already queued when the timer was restarted or cancelled arrives without an error.
      if (error || turn != self->turns) return;
      self->expired = true;
      std::exchange(self->on_expiry, nullptr)();
    });
  }

  void cancel() {
    ++turns;
    timer.cancel();
  }

  asio::steady_timer timer;
  std::function<void()> on_expiry;
  std::uint64_t turns = 0;
  bool expired = false;
};

Deadline::Deadline(asio::any_io_executor executor, Duration limit, std::function<void()> on_expiry)
    : state_(std::make_shared<State>(std::move(executor), std::move(on_expiry))) {
  state_->start(limit);
}

Deadline::~Deadline() {
  state_->cancel();
}

bool Deadline::expired() const {
  return state_->expired;
}

void Deadline::restart(Duration limit) {
  if (!state_->expired) state_->start(limit);
}

}  // namespace culvert
