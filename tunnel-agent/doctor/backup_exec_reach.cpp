#include "tunnel-agent/doctor/backup_exec_reach.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "tunnel-agent/doctor/neighbour.hpp"

namespace culvert {

namespace {

/// Routers send few ICMP answers a second (often one or two), and each port is dialled twice in the time of a
/// check. So two answers may stand for all ports that got none; a single one is about its own port.
constexpr std::size_t kEnoughOfRouters = 2;
/// The kernel here sends 50 at once (net.ipv4.icmp_msgs_burst): fewer are about their own ports.
constexpr std::size_t kEnoughOfThisMachine = 50;

Ports in_state(const Ports& ports, PortState state) {
  Ports picked;
  std::copy_if(ports.begin(), ports.end(), std::back_inserter(picked),
               [state](const CheckedPort* port) { return port->fact.state == state; });
  return picked;
}

/// Whether those of `ports` in this state speak for the others, which got no answer.
bool speak_for_all(const Ports& ports, PortState state, std::size_t enough) {
  const std::size_t said = in_state(ports, state).size();
  return said > 0 && (said == ports.size() || said >= enough);
}

bool is_answer(const CheckedPort* port) {
  const PortState state = port->fact.state;
  return state == PortState::Open || state == PortState::Refused || state == PortState::Silent ||
         state == PortState::Foreign;
}

std::string where(const Ports& ports, const std::string& host) {
  return fmt::format("TCP {} of {}", numbers(ports), host);
}

Finding forbidden_here(const Ports& ports, const std::string& what, const std::string& host) {
  return {"port_forbidden_here", fmt::format("this machine's own firewall forbids {}", what), seen(ports),
          fmt::format("allow outgoing {} here (nft list ruleset shows the rules)", where(ports, host))};
}

std::optional<Finding> kept_away(const Ports& ports, const std::string& host) {
  if (speak_for_all(ports, PortState::Prohibited, kEnoughOfRouters)) {
    return Finding{"port_prohibited", fmt::format("a firewall on the way refuses {}", host), seen(ports),
                   fmt::format("this machine has a route; ask the owner of the firewall that answered to "
                               "allow {}",
                               where(ports, host))};
  }
  if (speak_for_all(ports, PortState::TurnedBack, kEnoughOfRouters)) {
    return Finding{"no_route", fmt::format("a router or firewall on the way turns packets to {} back", host),
                   seen(ports),
                   "ask the owner of the machine that answered whether it has a route there and whether a "
                   "firewall rejects this; the route from here to it works"};
  }
  // Of one address the local network says the same for all ports.
  if (speak_for_all(ports, PortState::Absent, 1)) {
    return Finding{"host_absent", fmt::format("nothing answers at {} in the local network", host),
                   seen(ports), kAbsentAdvice};
  }
  if (speak_for_all(ports, PortState::Unreachable, kEnoughOfThisMachine)) {
    return Finding{"no_route", fmt::format("there is no route to {}", host), seen(ports),
                   "check this machine's addresses and default route (ip route), its cable and its VPN"};
  }
  return std::nullopt;
}

}  // namespace

std::string numbers(const Ports& ports) {
  std::vector<std::uint16_t> list;
  for (const CheckedPort* port : ports) list.push_back(port->fact.port);
  return ports_text(list);
}

std::string seen(const Ports& ports) {
  std::vector<std::pair<std::string, Ports>> groups;
  for (const CheckedPort* port : ports) {
    const std::string detail =
        port->taken_by.empty() ? port->fact.detail : port->fact.detail + " (" + port->taken_by + " has it)";
    const auto known =
        std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.first == detail; });
    if (known == groups.end())
      groups.push_back({detail, {port}});
    else
      known->second.push_back(port);
  }
  std::string text;
  for (const auto& [detail, members] : groups)
    text += fmt::format("{}TCP {}: {}", text.empty() ? "" : "; ", numbers(members), detail);
  return text;
}

std::vector<Finding> conclude_reach(const Ports& there, const std::string& host) {
  if (std::any_of(there.begin(), there.end(), is_answer)) return {};
  if (speak_for_all(there, PortState::Forbidden, kEnoughOfThisMachine))
    return {forbidden_here(there, host, host)};
  // What the firewall here keeps back says nothing of the ports that it lets out.
  const Ports forbidden = in_state(there, PortState::Forbidden);
  Ports let_out;
  std::copy_if(there.begin(), there.end(), std::back_inserter(let_out),
               [](const CheckedPort* port) { return port->fact.state != PortState::Forbidden; });
  auto finding = kept_away(let_out, host);
  if (!finding) return {};
  std::vector<Finding> findings;
  if (!forbidden.empty()) findings.push_back(forbidden_here(forbidden, where(forbidden, host), host));
  findings.push_back(std::move(*finding));
  return findings;
}

}  // namespace culvert
