// Blocking work for a coroutine whose thread must not wait. `co_await post(pool, use_awaitable)` does not do
// it: the coroutine is resumed by its own executor, and the work would block the very thread it was to spare.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <type_traits>
#include <utility>

namespace culvert {

/// Runs `work` on `pool`; the coroutine goes on with its result, on its own thread. What `work` refers to
/// outlives the pool's threads.
template <typename Work>
boost::asio::awaitable<std::invoke_result_t<Work&>> run_blocking(boost::asio::thread_pool& pool, Work work) {
  namespace asio = boost::asio;
  using Answer = std::invoke_result_t<Work&>;
  auto start = [&pool](auto handler, Work own) {
    auto home = asio::get_associated_executor(handler);
    asio::post(pool, [handler = std::move(handler), own = std::move(own), home]() mutable {
      asio::post(home,
                 [handler = std::move(handler), answer = own()]() mutable { handler(std::move(answer)); });
    });
  };
  auto token = asio::use_awaitable;
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Answer)>(start, token,
                                                                                       std::move(work));
}

}  // namespace culvert
