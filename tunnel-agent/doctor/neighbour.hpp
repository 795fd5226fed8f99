// Whether a machine of the local network is there at all: what the kernel asked by ARP, or by neighbour
// discovery for IPv6, and whether anybody answered. Who drops packets answers that, and who is not there does
// not.
#pragma once

#include <string_view>

#include "tunnel-agent/network.hpp"

namespace culvert {

constexpr const char* kAbsentAdvice =
    "check whether that machine is switched on and connected to this network, and whether this is still its "
    "address";

/// After an attempt to connect of 2 s at least. False as well for addresses behind a router, which nobody
/// asks for here, and where the kernel cannot be asked. A machine that answered a moment ago is taken for
/// there.
bool is_silent_neighbour(const IpAddress& address);

/// What a piece of the kernel's table of neighbours says of one address.
struct NeighbourEntry {
  bool silent = false;    ///< It was asked for, and nobody has answered.
  bool answered = false;  ///< On this interface or another.
  bool last = false;      ///< The table ends here.
};

/// @param bytes  messages of rtnetlink(7) to RTM_GETNEIGH; one that is cut off ends them.
NeighbourEntry read_neighbours(std::string_view bytes, const IpAddress& address);

}  // namespace culvert
