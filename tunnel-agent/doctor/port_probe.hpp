// Dials many ports of one machine at once and finds out which of them pass bytes both ways.
//
//   Connecting ─▶ Greeting ─(our greeting)─▶ Echo ─(the token comes back)─▶ open
//                    └──────(NDMP)─────────▶ Ndmp ─(any answer)───────────▶ open
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tunnel-agent/doctor/probe_address.hpp"

namespace culvert {

enum class PortState {
  Open,         ///< Bytes passed both ways.
  Refused,      ///< A reset, or "port unreachable".
  Dropped,      ///< No answer.
  Silent,       ///< Connected, and then not a byte, or only one way.
  Foreign,      ///< Another program answers that cannot be asked anything.
  Unreachable,  ///< The machine that dials has no way there.
  TurnedBack,   ///< Another machine says by ICMP that there is no way.
  Prohibited,   ///< A firewall says so itself: ICMP "administratively prohibited".
  Forbidden,    ///< The own firewall of the machine that dials.
  Absent,       ///< Nothing answers at the address in the local network of the machine that dials.
};

/// "open", "refused", "dropped", "silent", "foreign", "unreachable", "turned_back", "prohibited",
/// "forbidden", "absent"; and back, unknown names as Unreachable.
std::string_view state_name(PortState state);
PortState port_state_of(std::string_view name);

struct PortFact {
  std::uint16_t port = 0;
  PortState state = PortState::Dropped;
  std::string detail;  ///< For people.
};

struct PortProbe {
  std::vector<PortFact> facts;  ///< In the order of the ports asked for.
  UniqueFd open;                ///< A connection to an answerer of ours, to ask it more.
  std::uint16_t open_port = 0;
};

/// Blocks for at most `patience`.
/// @param address  its port does not matter.
PortProbe probe_ports(const ProbeAddress& address, const std::vector<std::uint16_t>& ports,
                      const std::string& token, Duration patience);

}  // namespace culvert
