#include "tunnel-agent/doctor/probe_address.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <thread>

#include "tunnel-agent/doctor/probe_socket.hpp"

namespace culvert {

namespace {

constexpr std::size_t kMostAddresses = 8;

Resolution resolve_blocking(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  Resolution resolution;
  const int failure = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failure != 0) resolution.error = ::gai_strerror(failure);
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    if (resolution.addresses.size() == kMostAddresses) break;
    ProbeAddress address;
    address.size = entry->ai_addrlen;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    resolution.addresses.push_back(address);
  }
  if (found != nullptr) ::freeaddrinfo(found);
  return resolution;
}

}  // namespace

Resolution resolve_name(const std::string& host, std::uint16_t port, Duration patience) {
  // getaddrinfo cannot be cancelled: its thread owns all that it uses.
  std::packaged_task<Resolution()> task{[host, port] { return resolve_blocking(host, port); }};
  auto future = task.get_future();
  std::thread{std::move(task)}.detach();
  if (future.wait_for(patience) != std::future_status::ready) return {"no name server answered in time", {}};
  return future.get();
}

Reach reach_of(int reason, const std::optional<IcmpAnswer>& icmp) {
  if (reason != 0 && icmp && icmp->prohibited) return icmp->from_here ? Reach::Forbidden : Reach::Prohibited;
  switch (reason) {
    case 0:
      return Reach::Connected;
    case ECONNREFUSED:
    case ECONNRESET:
      return Reach::Refused;
    case EINPROGRESS:
    case ETIMEDOUT:
      return Reach::Silent;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return Reach::NoRoute;
    case EPERM:
    case EACCES:
      return Reach::Forbidden;
    default:
      return Reach::Failed;
  }
}

int start_connect(const ProbeAddress& address, UniqueFd& fd, int max_segment, bool icmp) {
  fd = UniqueFd{::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!fd) return errno;
  if (max_segment != 0) ::setsockopt(fd.value(), IPPROTO_TCP, TCP_MAXSEG, &max_segment, sizeof max_segment);
  if (icmp) keep_icmp(fd.value(), address.storage.ss_family, true);
  const auto* const where = reinterpret_cast<const sockaddr*>(&address.storage);
  return ::connect(fd.value(), where, address.size) == 0 ? 0 : errno;
}

int end_connect(const UniqueFd& fd, Instant deadline) {
  if (!wait_for_socket(fd.value(), POLLOUT, deadline)) return EINPROGRESS;
  int reason = 0;
  socklen_t size = sizeof reason;
  ::getsockopt(fd.value(), SOL_SOCKET, SO_ERROR, &reason, &size);
  if (reason != 0) return reason;
  // An ICMP answer that is kept wakes us a moment before it has become the socket's error.
  sockaddr_storage peer{};
  size = sizeof peer;
  return ::getpeername(fd.value(), reinterpret_cast<sockaddr*>(&peer), &size) == 0 ? 0 : EHOSTUNREACH;
}

}  // namespace culvert
