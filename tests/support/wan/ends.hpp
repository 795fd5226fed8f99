// The two ends of the line: a network namespace each, with a TUN device in it. They have no name: the
// namespaces live as long as this program and the programs inside, so that nothing can be left behind.
#pragma once

#include <string>

namespace culvert::wan {

struct End {
  int tun = -1;        ///< Non-blocking, packets with virtio headers.
  int net_space = -1;  ///< Others enter by /proc/PID/fd/NUMBER.
};

/// Makes a namespace with loopback and a TUN device `wan` that has `address` of a /24, and returns with this
/// thread in the namespace where it was before. Ends the program with exit code 1 and one line on failure.
End make_end(const std::string& address);

}  // namespace culvert::wan
