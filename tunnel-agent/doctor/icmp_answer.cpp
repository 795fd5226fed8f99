#include "tunnel-agent/doctor/icmp_answer.hpp"

#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "tunnel-agent/network.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert {

namespace {

constexpr int kNetworkProhibited6 = 5;  // "Source address failed ingress/egress policy", RFC 4443 §3.1.
constexpr int kRejectRoute6 = 6;        // "Reject route to destination".

bool is_prohibition(const sock_extended_err& error) {
  if (error.ee_origin == SO_EE_ORIGIN_ICMP) {
    return error.ee_type == ICMP_DEST_UNREACH &&
           (error.ee_code == ICMP_NET_ANO || error.ee_code == ICMP_HOST_ANO ||
            error.ee_code == ICMP_PKT_FILTERED);
  }
  return error.ee_type == ICMP6_DST_UNREACH &&
         (error.ee_code == ICMP6_DST_UNREACH_ADMIN || error.ee_code == kNetworkProhibited6 ||
          error.ee_code == kRejectRoute6);
}

/// Only an address of this machine can be bound.
bool is_own(const sockaddr_storage& address) {
  const UniqueFd fd{::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  return fd && ::bind(fd.value(), reinterpret_cast<const sockaddr*>(&address),
                      address.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in)) == 0;
}

}  // namespace

void keep_icmp(int fd, int family, bool keep) {
  const int on = keep ? 1 : 0;
  if (family == AF_INET6)
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
  else
    ::setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
}

std::optional<IcmpAnswer> icmp_answer(int fd) {
  alignas(cmsghdr) std::array<char, 512> control{};
  msghdr message{};
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return std::nullopt;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    const bool v4 = part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR;
    const bool v6 = part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_RECVERR;
    const std::size_t sender = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if ((!v4 && !v6) || part->cmsg_len < CMSG_LEN(sizeof(sock_extended_err) + sender)) continue;
    sock_extended_err error{};
    std::memcpy(&error, CMSG_DATA(part), sizeof error);
    if (error.ee_origin != SO_EE_ORIGIN_ICMP && error.ee_origin != SO_EE_ORIGIN_ICMP6) continue;
    sockaddr_storage from{};
    std::memcpy(&from, CMSG_DATA(part) + sizeof error, sender);
    if (from.ss_family != AF_INET && from.ss_family != AF_INET6) continue;
    return IcmpAnswer{is_prohibition(error), is_own(from), IpAddress::of(from).to_text()};
  }
  return std::nullopt;
}

}  // namespace culvert
