#include "cloud-gateway/data/target_dialer.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#include "cloud-gateway/control/address_kind.hpp"
#include "tunnel-core/net/deadline.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

Error describe(const TargetAddress& target, const error_code& error) {
  if (error == asio::error::timed_out) {
    return {Errc::TargetTimedOut,
            target.to_text() + " did not answer in time; is the target up and its firewall open?"};
  }
  if (error == asio::error::connection_refused) {
    return {Errc::TargetRefused, target.to_text() + " refused the connection; does the target listen there?"};
  }
  // "No route to host" is what is left of an ARP request that nobody answers, too.
  const char* const nobody =
      error == asio::error::host_unreachable
          ? "; if the target is of the gateway's own network, nothing answers at its address: is it switched "
            "on? Else look at the gateway's routes and firewall, and at the target's address"
          : "; look at the gateway's routes and firewall, and at the target's address";
  return {Errc::TargetUnreachable, target.to_text() + " cannot be reached: " + error.message() + nobody};
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

  Attempt(TargetDialer& dialer, TargetAddress to, Done callback)
      : io(dialer.io_),
        budget(dialer.budget_),
        timeout(dialer.timeout_),
        owner(dialer.self_),
        target(std::move(to)),
        done(std::move(callback)),
        socket(io) {}

  /// Null when too many run, or nobody waits any more.
  std::shared_ptr<HostLookup> lookup(const std::string& host) const {
    return *owner == nullptr ? nullptr : (*owner)->lookups_.look_up(host);
  }

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
  error_code is_name;
  const asio::ip::address literal = asio::ip::make_address(attempt->target.host, is_name);
  if (!is_name && attempt->target.literal_permitted) {
    try {
      return connect_only(attempt, {literal, attempt->target.port});
    } catch (const std::exception& failure) {
      return note_failure(*attempt, failure);
    }
  }
  asio::co_spawn(io_, run(attempt), [attempt](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      note_failure(*attempt, error);
    }
  });
}

void TargetDialer::note_failure(Attempt& attempt, const std::exception& failure) {
  spdlog::error("a dial to {} ended on an internal error: {}", attempt.target.to_text(), failure.what());
  attempt.finish(Error{Errc::TargetUnreachable, "the dial failed inside the gateway"});
}

asio::awaitable<Result<HostLookup::Addresses>> TargetDialer::addresses_of(std::shared_ptr<Attempt> attempt) {
  const std::string& host = attempt->target.host;
  error_code is_name;
  const asio::ip::address literal = asio::ip::make_address(host, is_name);
  if (!is_name) co_return HostLookup::Addresses{literal};
  const auto lookup = attempt->lookup(host);
  if (!lookup) {
    co_return Error{
        Errc::DialLimitReached,
        "too many names of targets are being looked up at once; try again, and look at the gateway's "
        "name servers"};
  }
  const std::string unresolved = "the name " + host + " of the target does not resolve: ";
  const bool done = co_await until_done(lookup, attempt->timeout);
  if (!done) {
    co_return Error{Errc::TargetNameUnresolved,
                    unresolved + "no name server answered in time; look at the gateway's name servers"};
  }
  if (!lookup->outcome()) {
    co_return Error{Errc::TargetNameUnresolved, unresolved + lookup->outcome().error().message() +
                                                    "; look at the name and the gateway's name servers"};
  }
  co_return *lookup->outcome();
}

/// `share` is what this address may use: one that swallows packets must not use up the time of the others.
/// @return timed_out when it was not enough.
asio::awaitable<error_code> TargetDialer::connect(std::shared_ptr<Attempt> attempt, tcp::endpoint to,
                                                  Duration share) {
  error_code error;
  attempt->socket.close(error);
  Deadline deadline{attempt->io.get_executor(), share, [attempt] {
                      error_code ignored;
                      attempt->socket.close(ignored);
                    }};
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await attempt->socket.async_connect(to, token);
  // Asked first: an answer that came together with the end of the time finds the socket closed.
  co_return deadline.expired() ? error_code{asio::error::timed_out} : error;
}

/// An address that an administrator wrote is the only one: no coroutine, no list, no turn of the loop.
void TargetDialer::connect_only(std::shared_ptr<Attempt> attempt, tcp::endpoint to) {
  auto deadline = std::make_unique<Deadline>(attempt->io.get_executor(), attempt->timeout, [attempt] {
    error_code ignored;
    attempt->socket.close(ignored);
  });
  attempt->socket.async_connect(to, [attempt, deadline = std::move(deadline)](error_code error) {
    if (deadline->expired()) error = asio::error::timed_out;
    try {
      if (error) {
        attempt->finish(describe(attempt->target, error));
      } else {
        attempt->finish(std::move(attempt->socket));
      }
    } catch (const std::exception& failure) {
      note_failure(*attempt, failure);
    }
  });
}

asio::awaitable<void> TargetDialer::run(std::shared_ptr<Attempt> attempt) {
  using std::chrono::steady_clock;
  const TargetAddress& target = attempt->target;
  const steady_clock::time_point until = steady_clock::now() + attempt->timeout;
  const auto addresses = co_await addresses_of(attempt);
  if (!addresses) {
    attempt->finish(addresses.error());
    co_return;
  }

  std::vector<tcp::endpoint> permitted;
  for (const asio::ip::address& address : *addresses) {
    const tcp::endpoint endpoint{address, target.port};
    if (target.literal_permitted || !forbidden_address(*endpoint.data())) permitted.push_back(endpoint);
  }
  if (permitted.empty()) {
    attempt->finish(
        Error{Errc::TargetAddressForbidden,
              target.to_text() +
                  " resolves to an address that is refused unless an administrator names it literally"});
    co_return;
  }

  error_code error = asio::error::timed_out;  // Unless the name has left any time.
  for (std::size_t i = 0; i < permitted.size(); ++i) {
    const auto left = std::chrono::duration_cast<Duration>(until - steady_clock::now());
    if (left <= Duration{}) break;
    const Duration share = left / static_cast<int>(permitted.size() - i);
    error = co_await connect(attempt, permitted[i], share);
    if (!error) {
      attempt->finish(std::move(attempt->socket));
      co_return;
    }
  }
  attempt->finish(describe(target, error));
}

}  // namespace culvert
