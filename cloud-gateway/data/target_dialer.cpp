#include "cloud-gateway/data/target_dialer.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "cloud-gateway/control/address_kind.hpp"
#include "tunnel-core/net/deadline.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

Error describe(const TargetAddress& target, const error_code& error, bool expired) {
  if (expired) {
    return {Errc::TargetTimedOut,
            target.to_text() + " did not answer in time; is the target up and its firewall open?"};
  }
  if (error == asio::error::connection_refused) {
    return {Errc::TargetRefused, target.to_text() + " refused the connection; does the target listen there?"};
  }
  return {Errc::TargetUnreachable, target.to_text() + " cannot be reached: " + error.message()};
}

}  // namespace

struct TargetDialer::Attempt {
  asio::io_context& io;
  DialBudget& budget;
  const Duration timeout;
  std::shared_ptr<TargetDialer*> owner;
  TargetAddress target;
  Done done;
  tcp::socket socket;
  tcp::resolver resolver;

  Attempt(TargetDialer& dialer, TargetAddress to, Done callback)
      : io(dialer.io_),
        budget(dialer.budget_),
        timeout(dialer.timeout_),
        owner(dialer.self_),
        target(std::move(to)),
        done(std::move(callback)),
        socket(io),
        resolver(io) {}

  /// Tells how it ended, once: a callback that throws is not called again.
  void finish(Result<Socket> result) {
    if (!done) return;
    const Done tell = std::exchange(done, {});
    budget.give_back();
    if (*owner == nullptr) return;
    --(*owner)->running_;
    tell(std::move(result));
  }
};

TargetDialer::TargetDialer(asio::io_context& io, DialBudget& process, std::size_t most, Duration timeout)
    : io_(io),
      budget_(process),
      most_(most),
      timeout_(timeout),
      self_(std::make_shared<TargetDialer*>(this)) {}

TargetDialer::~TargetDialer() {
  *self_ = nullptr;
}

void TargetDialer::dial(TargetAddress target, Done done) {
  if (running_ >= most_ || !budget_.take()) {
    asio::post(io_, [done = std::move(done), owner = self_] {
      if (*owner == nullptr) return;
      done(
          Error{Errc::DialLimitReached, "too many connections to targets are being made at once; try again"});
    });
    return;
  }
  ++running_;
  auto attempt = std::make_shared<Attempt>(*this, std::move(target), std::move(done));
  asio::co_spawn(io_, run(attempt), [attempt](std::exception_ptr failure) {
    if (!failure) return;
    try {
      attempt->finish(Error{Errc::TargetUnreachable, "the dial failed inside the gateway"});
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      spdlog::error("a dial to {} ended on an internal error: {}", attempt->target.to_text(), error.what());
    }
  });
}

asio::awaitable<void> TargetDialer::run(std::shared_ptr<Attempt> attempt) {
  const TargetAddress& target = attempt->target;
  Deadline deadline{attempt->io.get_executor(), attempt->timeout, [attempt] {
                      attempt->resolver.cancel();
                      error_code ignored;
                      attempt->socket.close(ignored);
                    }};
  error_code error;
  std::vector<tcp::endpoint> endpoints;
  const asio::ip::address literal = asio::ip::make_address(target.host, error);
  if (!error) {
    endpoints.emplace_back(literal, target.port);
  } else {
    auto token = asio::redirect_error(asio::use_awaitable, error);
    const auto found =
        co_await attempt->resolver.async_resolve(target.host, std::to_string(target.port), token);
    if (error) {
      const std::string why = deadline.expired() ? "no answer in time" : error.message();
      attempt->finish(Error{Errc::TargetNameUnresolved,
                            "the name " + target.host + " of the target does not resolve: " + why});
      co_return;
    }
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  }

  bool forbidden = false;
  error = asio::error::host_unreachable;
  for (const tcp::endpoint& endpoint : endpoints) {
    if (!target.literal_permitted && forbidden_address(*endpoint.data())) {
      forbidden = true;
      continue;
    }
    error_code connected;
    attempt->socket.close(connected);
    // One address that swallows packets must not use up the time of the others.
    Deadline one{attempt->io.get_executor(), attempt->timeout / static_cast<int>(endpoints.size()),
                 [attempt] {
                   error_code ignored;
                   attempt->socket.close(ignored);
                 }};
    auto token = asio::redirect_error(asio::use_awaitable, connected);
    co_await attempt->socket.async_connect(endpoint, token);
    error = connected;
    if (!connected || deadline.expired()) break;
  }
  if (!error && !deadline.expired()) {
    attempt->finish(std::move(attempt->socket));
  } else if (forbidden && error == asio::error::host_unreachable && !deadline.expired()) {
    attempt->finish(
        Error{Errc::TargetAddressForbidden,
              target.to_text() +
                  " resolves to an address that is refused unless an administrator names it literally"});
  } else {
    attempt->finish(describe(target, error, deadline.expired()));
  }
}

}  // namespace culvert
