// Rules for other firewalls than ESXi's, from the rows of the catalogue. Each form is checked by its own tool
// in the tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "firewall-vib/port_catalogue.hpp"

namespace culvert::firewall {

/// What one machine has to let through.
struct FirewallRule {
  bool incoming = true;
  std::string protocol;  ///< "tcp" or "udp".
  PortRanges ports;      ///< Of the machine that is connected to; never empty.
  std::string peer;      ///< The role at the other end, for people.
  std::string purpose;
  std::string row;  ///< Its id.
  std::string windows_group;
};

struct RuleSet {
  std::string role;       ///< Its id, which names chains and services.
  std::string role_name;  ///< For people.
  std::vector<FirewallRule> rules;
};

/// @param catalogue  the rows that are wanted; those without this role at either end are left out.
/// @error UsageInvalid: no such role, or no row with a port for it.
Result<RuleSet> rules_for(const PortCatalogue& catalogue, const std::string& role);

/// The forms: nftables, iptables, firewalld, ufw, windows, markdown, csv.
const std::vector<std::string>& rule_forms();

/// The file of one form, with how to load and remove it in its comments.
/// @error UsageInvalid: no such form, or one that knows incoming rules alone and there is none.
Result<std::string> render_rules(const RuleSet& set, std::string_view form);

}  // namespace culvert::firewall
