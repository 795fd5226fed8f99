#include "tunnel-agent/doctor/neighbour.hpp"

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>

#include "tunnel-agent/doctor/probe_socket.hpp"

namespace culvert {

namespace {

constexpr Duration kPatience = 500ms;  // The kernel answers at once.

struct Request {
  nlmsghdr head;
  ndmsg entry;
};

/// Headers and attributes begin at multiples of four bytes.
std::string_view behind(std::string_view bytes, std::size_t size) {
  return bytes.substr(std::min((size + 3) / 4 * 4, bytes.size()));
}

template <class T>
bool begins_with(std::string_view bytes, T& value) {
  if (bytes.size() < sizeof value) return false;
  std::memcpy(&value, bytes.data(), sizeof value);
  return true;
}

std::optional<IpAddress> address_of(std::string_view value, sa_family_t family) {
  sockaddr_storage storage{};
  storage.ss_family = family;
  if (family == AF_INET && value.size() == sizeof(in_addr)) {
    std::memcpy(&reinterpret_cast<sockaddr_in&>(storage).sin_addr, value.data(), value.size());
  } else if (family == AF_INET6 && value.size() == sizeof(in6_addr)) {
    std::memcpy(&reinterpret_cast<sockaddr_in6&>(storage).sin6_addr, value.data(), value.size());
  } else {
    return std::nullopt;
  }
  return IpAddress::of(storage);
}

/// Whom an entry is about.
std::optional<IpAddress> destination(std::string_view attributes, sa_family_t family) {
  rtattr head{};
  while (begins_with(attributes, head) && head.rta_len >= sizeof head && head.rta_len <= attributes.size()) {
    if (head.rta_type == NDA_DST)
      return address_of(attributes.substr(sizeof head, head.rta_len - sizeof head), family);
    attributes = behind(attributes, head.rta_len);
  }
  return std::nullopt;
}

}  // namespace

NeighbourEntry read_neighbours(std::string_view bytes, const IpAddress& address) {
  NeighbourEntry found;
  nlmsghdr head{};
  while (begins_with(bytes, head) && head.nlmsg_len >= sizeof head && head.nlmsg_len <= bytes.size()) {
    const std::string_view body = bytes.substr(sizeof head, head.nlmsg_len - sizeof head);
    bytes = behind(bytes, head.nlmsg_len);
    if (head.nlmsg_type == NLMSG_DONE || head.nlmsg_type == NLMSG_ERROR) found.last = true;
    ndmsg entry{};
    if (head.nlmsg_type != RTM_NEWNEIGH || !begins_with(body, entry)) continue;
    const auto about = destination(behind(body, sizeof entry), entry.ndm_family);
    if (!about || !(*about == address) || entry.ndm_state == NUD_NONE) continue;
    const bool unanswered = (entry.ndm_state & (NUD_INCOMPLETE | NUD_FAILED)) != 0;
    (unanswered ? found.silent : found.answered) = true;
  }
  return found;
}

bool is_silent_neighbour(const IpAddress& address) {
  const UniqueFd fd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
  Request request{};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = RTM_GETNEIGH;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.entry.ndm_family = static_cast<std::uint8_t>(address.is_v6() ? AF_INET6 : AF_INET);
  if (!fd || ::send(fd.value(), &request, sizeof request, 0) < 0) return false;
  const Instant deadline = std::chrono::steady_clock::now() + kPatience;
  NeighbourEntry all;
  std::array<char, 32 * 1024> piece{};
  while (!all.last && wait_for_socket(fd.value(), POLLIN, deadline)) {
    const ssize_t n = ::recv(fd.value(), piece.data(), piece.size(), 0);
    if (n <= 0) return false;
    const NeighbourEntry part = read_neighbours({piece.data(), static_cast<std::size_t>(n)}, address);
    all.silent = all.silent || part.silent;
    all.answered = all.answered || part.answered;
    all.last = part.last;
  }
  return all.last && all.silent && !all.answered;
}

}  // namespace culvert
