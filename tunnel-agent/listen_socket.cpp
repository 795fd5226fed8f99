#include "tunnel-agent/listen_socket.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace culvert {

namespace fs = std::filesystem;

namespace {

bool is_wildcard(const IpAddress& address) {
  return address == IpAddress::any_v4() || address == IpAddress::any_v6();
}

bool family_is_missing(int reason) {
  return reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL;
}

Error listen_error(const IpAddress& address, std::uint16_t port, int reason) {
  const std::string where = SourceAddress{address, port}.to_text();
  switch (reason) {
    case EADDRINUSE: {
      const std::string holder = port_holder(port);
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
  sockaddr_storage storage{};
  const socklen_t size = address.fill(storage, port);
  if (::bind(fd.value(), reinterpret_cast<const sockaddr*>(&storage), size) != 0) return errno;
  if (::listen(fd.value(), SOMAXCONN) != 0) return errno;
  out = std::move(fd);
  return 0;
}

// The inodes of sockets listening on `port`: lines of /proc/net/tcp are "sl local:PORT remote:PORT st …
// inode".
void collect_inodes(const char* table, std::uint16_t port, std::set<std::string>& inodes) {
  std::ifstream lines{table};
  const std::string wanted = fmt::format(":{:04X}", port);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields{line};
    std::string field[10];
    for (std::string& text : field) fields >> text;
    if (field[1].ends_with(wanted) && field[3] == "0A") inodes.insert("socket:[" + field[9] + "]");
  }
}

bool holds_one_of(const fs::path& process, const std::set<std::string>& inodes) {
  std::error_code failure;
  for (fs::directory_iterator entry{process / "fd", failure}, end; !failure && entry != end;
       entry.increment(failure)) {
    std::error_code ignored;
    if (inodes.contains(fs::read_symlink(entry->path(), ignored).string())) return true;
  }
  return false;
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
    } else if (is_wildcard(address) && family_is_missing(reason)) {
      missing = reason;
    } else {
      return listen_error(address, forward.port, reason);
    }
  }
  if (sockets.empty()) return listen_error(forward.listen_addresses().front(), forward.port, missing);
  return sockets;
}

std::string port_holder(std::uint16_t port) {
  std::set<std::string> inodes;
  collect_inodes("/proc/net/tcp", port, inodes);
  collect_inodes("/proc/net/tcp6", port, inodes);
  if (inodes.empty()) return {};
  std::error_code failure;
  for (fs::directory_iterator entry{"/proc", failure}, end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string pid = entry->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!holds_one_of(entry->path(), inodes)) continue;
    std::string name;
    std::getline(std::ifstream{entry->path() / "comm"}, name);
    return fmt::format("process {} ({})", pid, name);
  }
  return {};
}

}  // namespace culvert
