// Names, addresses and connections of probes: each step with a deadline, each failure as a kind.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tunnel-agent/doctor/icmp_answer.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert {

enum class Reach {
  Connected,
  Refused,     ///< A reset, or "port unreachable".
  Silent,      ///< Nothing came back.
  NoRoute,     ///< This machine or a router has no way there.
  Prohibited,  ///< A firewall elsewhere says so itself.
  Forbidden,   ///< This machine's own firewall.
  Failed,      ///< Something else; `detail` has it.
};

/// @param reason  errno of a connection; EINPROGRESS: its time was over.
/// @param icmp  what an ICMP answer said, where one was listened for.
Reach reach_of(int reason, const std::optional<IcmpAnswer>& icmp = {});

struct ProbeAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

struct Resolution {
  std::string error;  ///< Empty: the name resolves.
  std::vector<ProbeAddress> addresses;
};

/// At most 8 addresses. A resolver that does not answer is left to itself.
Resolution resolve_name(const std::string& host, std::uint16_t port, Duration patience);

/// @param max_segment  bytes of payload in each segment, both ways; 0: as usual.
/// @param icmp  keeps what ICMP says, for icmp_answer().
/// @return 0 (connected already), EINPROGRESS, or why not.
int start_connect(const ProbeAddress& address, UniqueFd& fd, int max_segment = 0, bool icmp = false);
/// Waits for what start_connect() began. @return 0, EINPROGRESS after the deadline, or why not.
int end_connect(const UniqueFd& fd, Instant deadline);

}  // namespace culvert
