#include "cloud-api-client/src/dialer.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace culvert::cloud_api {

namespace {

constexpr Duration kNextAddressAfter = 250ms;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family = AF_UNSPEC;
};

struct Resolution {
  int failure = 0;
  std::vector<Address> addresses;
  Wake done;
};

std::string shown(const std::string& host, std::uint16_t port) {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
}

// getaddrinfo cannot be cancelled: it runs on a thread of its own, which shares nothing but this object.
void resolve_into(const std::shared_ptr<Resolution>& resolution, const std::string& host,
                  std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  resolution->failure = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    Address address;
    address.size = entry->ai_addrlen;
    address.family = entry->ai_family;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    resolution->addresses.push_back(address);
  }
  if (found != nullptr) ::freeaddrinfo(found);
  resolution->done.signal();
}

Error cancelled_error() {
  return Error{Errc::Cancelled, "the call was cancelled"};
}

Result<std::vector<Address>> resolve(const std::string& host, std::uint16_t port, Instant deadline,
                                     const Wake& cancelled) {
  auto resolution = std::make_shared<Resolution>();  // Owned by this call and by the thread.
  std::thread(resolve_into, resolution, host, port).detach();
  switch (wait_for(&resolution->done, cancelled, deadline)) {
    case Woken::Cancelled:
      return cancelled_error();
    case Woken::DeadlinePassed:
      return Error{Errc::NameUnresolved, "no name server answered for '" + host +
                                             "' in time; check DNS (/etc/resolv.conf) on this machine"};
    case Woken::Done:
      break;
  }
  if (resolution->failure != 0 || resolution->addresses.empty()) {
    return Error{Errc::NameUnresolved, "cannot resolve '" + host +
                                           "': " + ::gai_strerror(resolution->failure) +
                                           "; check the name and this machine's DNS"};
  }
  return std::move(resolution->addresses);
}

// IPv6 and IPv4 in turns, in the resolver's order of preference.
void interleave(std::vector<Address>& addresses) {
  std::vector<Address> first;
  std::vector<Address> other;
  for (const Address& address : addresses) {
    (address.family == addresses.front().family ? first : other).push_back(address);
  }
  addresses.clear();
  for (std::size_t i = 0; i < std::max(first.size(), other.size()); ++i) {
    if (i < first.size()) addresses.push_back(first[i]);
    if (i < other.size()) addresses.push_back(other[i]);
  }
}

class Race {
 public:
  Race(std::vector<Address> addresses, std::string where)
      : waiting_(std::move(addresses)), where_(std::move(where)) {}
  Race(const Race&) = delete;
  Race& operator=(const Race&) = delete;
  ~Race() {
    for (const Attempt& attempt : running_) ::close(attempt.fd);
  }

  Result<DialedSocket> run(Instant deadline, const Wake& cancelled);

 private:
  struct Attempt {
    int fd;
    bool ipv6;
  };

  void start_next();
  int finished_attempt(const std::vector<pollfd>& entries);
  void failed(int reason) {
    refused_ = refused_ || reason == ECONNREFUSED;
    last_failure_ = reason;
  }
  Error lost() const;

  std::vector<Address> waiting_;
  std::string where_;
  std::size_t next_ = 0;
  std::vector<Attempt> running_;
  bool refused_ = false;
  int last_failure_ = 0;
};

void Race::start_next() {
  while (next_ < waiting_.size()) {
    const Address& address = waiting_[next_++];
    const int fd = ::socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      failed(errno);
      continue;
    }
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0 ||
        errno == EINPROGRESS) {
      running_.push_back({fd, address.family == AF_INET6});
      return;
    }
    failed(errno);
    ::close(fd);
  }
}

// The index of an attempt that connected, or -1; attempts that failed are forgotten. Entry 0 is the
// cancellation.
int Race::finished_attempt(const std::vector<pollfd>& entries) {
  for (std::size_t i = entries.size(); i-- > 1;) {
    if (entries[i].revents == 0) continue;
    int reason = 0;
    socklen_t size = sizeof reason;
    ::getsockopt(entries[i].fd, SOL_SOCKET, SO_ERROR, &reason, &size);
    if (reason == 0) return static_cast<int>(i - 1);
    failed(reason);
    ::close(entries[i].fd);
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i - 1));
  }
  return -1;
}

Error Race::lost() const {
  if (refused_) {
    return Error{Errc::ConnectionRefused,
                 where_ + " refused the connection; check that it runs there and that the port is right"};
  }
  return Error{Errc::Unreachable, where_ + " cannot be reached: " + std::strerror(last_failure_) +
                                      "; check routes and firewalls on the way"};
}

Result<DialedSocket> Race::run(Instant deadline, const Wake& cancelled) {
  for (;;) {
    start_next();
    if (running_.empty()) return lost();
    const Instant pause_end = std::chrono::steady_clock::now() + kNextAddressAfter;
    const bool more = next_ < waiting_.size();
    for (;;) {
      std::vector<pollfd> entries{{cancelled.fd(), POLLIN, 0}};
      for (const Attempt& attempt : running_) entries.push_back({attempt.fd, POLLOUT, 0});
      const Instant until = more ? std::min(pause_end, deadline) : deadline;
      ::poll(entries.data(), entries.size(), poll_timeout_ms(until));
      if (entries[0].revents != 0) return cancelled_error();
      const std::size_t were_running = running_.size();
      if (const int winner = finished_attempt(entries); winner >= 0) {
        const Attempt attempt = running_[static_cast<std::size_t>(winner)];
        running_.erase(running_.begin() + winner);
        return DialedSocket{attempt.fd, attempt.ipv6};
      }
      if (std::chrono::steady_clock::now() >= deadline) {
        return Error{Errc::TimedOut,
                     where_ + " did not answer in time; check routes and firewalls on the way"};
      }
      if (running_.size() < were_running || running_.empty()) break;
      if (more && std::chrono::steady_clock::now() >= pause_end) break;
    }
  }
}

}  // namespace

DialedSocket DialedSocket::of(int fd) {
  int family = AF_INET;
  socklen_t size = sizeof family;
  ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
  return {fd, family == AF_INET6};
}

DialedSocket::~DialedSocket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<DialedSocket> dial(const std::string& host, std::uint16_t port, Instant deadline,
                          const Wake& cancelled) {
  if (cancelled.signalled()) return cancelled_error();
  auto addresses = resolve(host, port, deadline, cancelled);
  if (!addresses) return std::move(addresses).error();
  interleave(*addresses);
  return Race{std::move(*addresses), shown(host, port)}.run(deadline, cancelled);
}

}  // namespace culvert::cloud_api
