// A firewall ruleset of ESXi: the XML under etc/vmware/firewall/, written and read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firewall-vib/port_range.hpp"

namespace culvert::firewall {

/// What esxcli shows it as; unique on a host.
constexpr std::string_view kRulesetId = "culvert";

/// Outgoing TCP to `ports`, enabled, and an administrator may switch it off.
/// @param ports  in rising order, not empty.
std::string ruleset_xml(std::string_view id, const PortRanges& ports);

/// The file of it inside a VIB, without a leading slash.
std::string ruleset_path(std::string_view id);

struct RulesetRule {
  std::string direction;  ///< inbound, outbound
  std::string protocol;   ///< tcp, udp
  std::string port_type;  ///< dst, src
  PortRange ports;
};

struct Ruleset {
  std::string id;
  std::vector<RulesetRule> rules;
  bool enabled = false;
  bool required = false;
};

struct ReadRulesets {
  std::vector<Ruleset> rulesets;
  std::vector<std::string> faults;  ///< One sentence each; empty when ESXi would take the file.
};

/// @param xml  at most a MiB; anything.
ReadRulesets read_rulesets(std::string_view xml);

}  // namespace culvert::firewall
