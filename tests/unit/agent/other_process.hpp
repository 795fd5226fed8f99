// Another process that listens on a port: what /proc shows of it is not what it shows of us.
#pragma once

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "tunnel-agent/network.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert::test {

class OtherProcess {
 public:
  /// Listens on `host` (IPv6 only, where it is IPv6) until destroyed. Make it before sockets of this process
  /// that it must not inherit.
  OtherProcess(const std::string& host, std::uint16_t port) {
    const UniqueFd fd = listening(host, port);
    if (!fd) throw std::runtime_error("cannot take port " + std::to_string(port));
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("cannot fork");
    if (pid_ == 0) {
      // Nothing but system calls is safe in a child of a program with threads.
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) ::pause();
    }
  }
  ~OtherProcess() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  pid_t pid() const { return pid_; }

  /// Whether this machine has that address.
  static bool can_hold(const std::string& host) { return static_cast<bool>(listening(host, 0)); }

 private:
  static UniqueFd listening(const std::string& host, std::uint16_t port) {
    const IpAddress address = IpAddress::parse(host).value();
    UniqueFd fd{::socket(address.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!fd) return fd;
    const int on = 1;
    ::setsockopt(fd.value(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.is_v6()) ::setsockopt(fd.value(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    sockaddr_storage storage{};
    const socklen_t size = address.fill(storage, port);
    if (::bind(fd.value(), reinterpret_cast<const sockaddr*>(&storage), size) != 0 ||
        ::listen(fd.value(), 8) != 0) {
      return UniqueFd{};
    }
    return fd;
  }

  pid_t pid_ = -1;
};

}  // namespace culvert::test
