#include "tunnel-core/net/host_lookup.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

#include "tunnel-core/net/deadline.hpp"

namespace culvert {
namespace {

namespace asio = boost::asio;

std::atomic<std::size_t> running_in_process{0};

asio::ip::address address_of(const addrinfo& entry) {
  if (entry.ai_family == AF_INET) {
    sockaddr_in found{};
    std::memcpy(&found, entry.ai_addr, sizeof found);
    return asio::ip::address_v4{ntohl(found.sin_addr.s_addr)};
  }
  sockaddr_in6 found{};
  std::memcpy(&found, entry.ai_addr, sizeof found);
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &found.sin6_addr, bytes.size());
  return asio::ip::address_v6{bytes, found.sin6_scope_id};
}

Result<HostLookup::Addresses> addresses_of(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (failure != 0) {
    const char* const why = failure == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(failure);
    return Error{Errc::NameUnresolved, why};
  }
  HostLookup::Addresses addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_family == AF_INET || entry->ai_family == AF_INET6) addresses.push_back(address_of(*entry));
  }
  ::freeaddrinfo(found);
  if (addresses.empty()) return Error{Errc::NameUnresolved, "it has neither an IPv4 nor an IPv6 address"};
  return addresses;
}

}  // namespace

std::shared_ptr<HostLookup> HostLookup::start(const std::string& host) {
  UniqueFd ready{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!ready) return nullptr;
  if (running_in_process.fetch_add(1) >= kMost) {
    running_in_process.fetch_sub(1);
    return nullptr;
  }
  const std::shared_ptr<HostLookup> lookup{new HostLookup{std::move(ready)}};
  try {
    std::thread{[lookup, host] {
      lookup->run(host);
      running_in_process.fetch_sub(1);
    }}.detach();
  } catch (const std::system_error&) {
    running_in_process.fetch_sub(1);
    return nullptr;
  }
  return lookup;
}

void HostLookup::run(const std::string& host) {
  outcome_ = addresses_of(host);
  done_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(ready_.value(), &one, sizeof one);
}

std::shared_ptr<HostLookup> HostLookups::look_up(const std::string& host) {
  std::erase_if(running_, [](const auto& entry) { return entry.second->done(); });
  if (const auto running = running_.find(host); running != running_.end()) return running->second;
  if (running_.size() >= most_) return nullptr;
  auto lookup = HostLookup::start(host);
  if (lookup) running_.emplace(host, lookup);
  return lookup;
}

asio::awaitable<bool> until_done(std::shared_ptr<HostLookup> lookup, Duration patience) {
  const auto executor = co_await asio::this_coro::executor;
  // A descriptor of its own: others may wait for the same lookup.
  UniqueFd own{::fcntl(lookup->fd(), F_DUPFD_CLOEXEC, 0)};
  if (!own) co_return lookup->done();
  asio::posix::stream_descriptor ready{executor, own.release()};
  const Deadline limit{executor, patience, [&ready] {
                         boost::system::error_code ignored;
                         ready.close(ignored);
                       }};
  boost::system::error_code woken;
  co_await ready.async_wait(asio::posix::stream_descriptor::wait_read,
                            asio::redirect_error(asio::use_awaitable, woken));
  co_return lookup->done();
}

}  // namespace culvert
