#include "tunnel-agent/listen_socket.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "tunnel-core/daemon/port_holder.hpp"
#include "tunnel-core/net/socket_options.hpp"

namespace culvert {

namespace {

bool family_is_missing(int reason) {
  return reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL;
}

Error listen_error(const IpAddress& address, std::uint16_t port, int reason) {
  const std::string where = SourceAddress{address, port}.to_text();
  switch (reason) {
    case EADDRINUSE: {
      const std::string holder = port_holder(port, address.to_text());
      return Error{Errc::PortInUse,
                   fmt::format("port {} is in use by {}; stop it, or choose another port with --port", port,
                               holder.empty() ? "another process" : holder)};
    }
    case EACCES:
      return Error{
          Errc::Forbidden,
          fmt::format(
              "may not listen on {}: ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port",
              where)};
    case EADDRNOTAVAIL:
      return Error{
          Errc::IoFailed,
          fmt::format("cannot listen on {}: this machine does not have that address; check 'bind'", where)};
    default:
      return Error{Errc::IoFailed, fmt::format("cannot listen on {}: {}", where, std::strerror(reason))};
  }
}

/// @return errno, or 0 with `out` listening.
int listen_on(const IpAddress& address, std::uint16_t port, UniqueFd& out) {
  UniqueFd fd{::socket(address.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!fd) return errno;
  const int on = 1;
  // Connections of a former run that linger in TIME_WAIT must not keep the port from us.
  ::setsockopt(fd.value(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.is_v6()) ::setsockopt(fd.value(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  tune_local_socket(fd.value());  // For the connections, which inherit it.
  sockaddr_storage storage{};
  const socklen_t size = address.fill(storage, port);
  if (::bind(fd.value(), reinterpret_cast<const sockaddr*>(&storage), size) != 0) return errno;
  if (::listen(fd.value(), SOMAXCONN) != 0) return errno;
  out = std::move(fd);
  return 0;
}

}  // namespace

Result<std::vector<UniqueFd>> open_listen_sockets(const Forward& forward) {
  std::vector<UniqueFd> sockets;
  int missing = 0;
  for (const IpAddress& address : forward.listen_addresses()) {
    UniqueFd fd;
    const int reason = listen_on(address, forward.port, fd);
    if (reason == 0) {
      sockets.push_back(std::move(fd));
    } else if (address.is_any() && family_is_missing(reason)) {
      missing = reason;
    } else {
      return listen_error(address, forward.port, reason);
    }
  }
  if (sockets.empty()) return listen_error(forward.listen_addresses().front(), forward.port, missing);
  return sockets;
}

}  // namespace culvert
