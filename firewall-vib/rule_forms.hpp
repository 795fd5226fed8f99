// One function for each form of rules. Texts of the catalogue hold no line break, quote or bar
// (catalogue_reader.cpp), so that what follows only has to care about what is special in its own language.
#pragma once

#include "firewall-vib/firewall_rules.hpp"

namespace culvert::firewall {

/// `nft -f`: two chains of our own, filled anew each time; the administrator's chains are not touched.
std::string nftables_rules(const RuleSet& set);
/// `iptables-restore --noflush`, and the same file for ip6tables-restore.
std::string iptables_rules(const RuleSet& set);
/// XML for /etc/firewalld/services; incoming alone.
std::string firewalld_service(const RuleSet& set);
/// A profile for /etc/ufw/applications.d; incoming alone.
std::string ufw_profile(const RuleSet& set);
/// PowerShell: New-NetFirewallRule, and Windows' own rule groups where it has them. With -Remove it takes
/// them away.
std::string windows_script(const RuleSet& set);
/// A request for the person who owns the firewall.
std::string markdown_request(const RuleSet& set);
std::string csv_request(const RuleSet& set);

}  // namespace culvert::firewall
