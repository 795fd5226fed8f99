#include "tunnel-core/net/async_event.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace culvert {

namespace asio = boost::asio;

AsyncEvent::AsyncEvent(asio::any_io_executor executor)
    : never_(std::move(executor), asio::steady_timer::time_point::max()) {}

asio::awaitable<void> AsyncEvent::wait() {
  boost::system::error_code woken;  // operation_aborted is what notify_all() looks like.
  co_await never_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

void AsyncEvent::notify_all() {
  never_.cancel();
}

}  // namespace culvert
