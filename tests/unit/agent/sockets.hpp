// Small helpers over loopback sockets: a port somebody else holds, a client, and waiting for a condition.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "tunnel-agent/network.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert::test {

/// A listening socket on 127.0.0.1, on a free port where `port` is 0.
class TakenPort {
 public:
  explicit TakenPort(std::uint16_t port = 0) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(fd_.value(), SOL_SOCKET, SO_REUSEADDR, &on,
                 sizeof on);  // What lingers in TIME_WAIT is free.
    sockaddr_storage storage{};
    const socklen_t size = IpAddress::parse("127.0.0.1")->fill(storage, port);
    if (::bind(fd_.value(), reinterpret_cast<sockaddr*>(&storage), size) != 0 ||
        ::listen(fd_.value(), 8) != 0) {
      throw std::runtime_error("cannot take port " + std::to_string(port));
    }
    socklen_t written = sizeof storage;
    ::getsockname(fd_.value(), reinterpret_cast<sockaddr*>(&storage), &written);
    port_ = ntohs(reinterpret_cast<sockaddr_in&>(storage).sin_port);
  }
  std::uint16_t port() const { return port_; }

 private:
  UniqueFd fd_;
  std::uint16_t port_ = 0;
};

/// The first of `count` neighbouring ports that are all free on 127.0.0.1 right now. Below the ports the
/// kernel gives to clients, so that no connection of another program takes one; tests side by side begin
/// elsewhere.
inline std::uint16_t free_ports(unsigned count) {
  constexpr int kFirst = 12'000;
  constexpr int kSpan = 18'000;
  static int next = ::getpid() % (kSpan / 10) * 10;
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const int first = kFirst + next;
    next = (next + static_cast<int>(count)) % (kSpan - 100);
    try {
      for (unsigned i = 0; i < count; ++i) TakenPort{static_cast<std::uint16_t>(first + static_cast<int>(i))};
      return static_cast<std::uint16_t>(first);
    } catch (const std::runtime_error&) {
    }
  }
  throw std::runtime_error("no free ports");
}

/// A connected client, or an invalid descriptor with errno when it was refused.
inline UniqueFd connect_to(std::uint16_t port, const std::string& host = "127.0.0.1") {
  const IpAddress address = IpAddress::parse(host).value();
  UniqueFd fd{::socket(address.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_storage storage{};
  const socklen_t size = address.fill(storage, port);
  if (::connect(fd.value(), reinterpret_cast<sockaddr*>(&storage), size) != 0) return UniqueFd{};
  return fd;
}

/// What the next read says within 10 s: bytes, 0 for an orderly end, -errno.
inline int read_result(const UniqueFd& fd) {
  pollfd entry{fd.value(), POLLIN, 0};
  ::poll(&entry, 1, 10'000);
  char byte = 0;
  const ssize_t n = ::recv(fd.value(), &byte, 1, MSG_DONTWAIT);
  return n < 0 ? -errno : static_cast<int>(n);
}

}  // namespace culvert::test
