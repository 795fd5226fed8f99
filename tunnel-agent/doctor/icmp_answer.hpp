// Who refused a connection by ICMP, and in which words: errno alone says "no route" of a firewall's refusal
// too.
#pragma once

#include <optional>
#include <string>

namespace culvert {

struct IcmpAnswer {
  bool prohibited =
      false;  ///< "Administratively prohibited": the words of firewalls, never of a missing route.
  bool from_here = false;  ///< Sent by this machine itself.
  std::string from;        ///< The sender's address.
};

/// Before connect(): keeps ICMP answers of this socket for icmp_answer(). Linux 5.8 and later do so for TCP.
/// @param keep  false once it is connected: else any ICMP answer would end the connection.
void keep_icmp(int fd, int family, bool keep);
/// The first ICMP answer to a connect() that has failed; nothing where none came.
std::optional<IcmpAnswer> icmp_answer(int fd);

}  // namespace culvert
