#include "firewall-vib/rule_forms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <pugixml.hpp>

#include "firewall-vib/catalogue_print.hpp"
#include "firewall-vib/xml_text.hpp"

namespace culvert::firewall {

namespace {

/// "agent" -> "culvert-agent", what all artefacts are called by.
std::string own_name(const RuleSet& set) {
  return "culvert-" + set.role;
}

/// Ports of one protocol, both directions apart, without doubles: what forms without comments want.
PortRanges incoming_ports(const RuleSet& set, std::string_view protocol) {
  PortRanges ports;
  for (const FirewallRule& rule : set.rules) {
    if (rule.incoming && rule.protocol == protocol)
      ports.insert(ports.end(), rule.ports.begin(), rule.ports.end());
  }
  return merge_ports(std::move(ports));
}

constexpr std::size_t kNftComment = 120;  // nft takes 128 bytes.

std::string chain_rules(const RuleSet& set, bool incoming) {
  std::string text;
  for (const FirewallRule& rule : set.rules) {
    if (rule.incoming != incoming) continue;
    const std::string whole = fmt::format("{}, {} {}", rule.row, incoming ? "from" : "to", rule.peer);
    const std::string note = whole.size() <= kNftComment ? whole : rule.row.substr(0, kNftComment);
    text += fmt::format("    {} dport {{ {} }} accept comment \"{}\"\n", rule.protocol,
                        ports_text(rule.ports), note);
  }
  return text;
}

std::string iptables_chain(const RuleSet& set, bool incoming, const std::string& chain) {
  std::string text;
  for (const FirewallRule& rule : set.rules) {
    if (rule.incoming != incoming) continue;
    for (const PortRange& range : rule.ports) {
      text += fmt::format("-A {} -p {} -m {} --dport {} -m comment --comment \"{}\" -j ACCEPT\n", chain,
                          rule.protocol, rule.protocol, range.to_text(":"), rule.row);
    }
  }
  return text;
}

/// A chain's name has at most 28 characters.
std::string iptables_name(const RuleSet& set, const char* end) {
  return ("CULVERT-" + set.role).substr(0, 24) + end;
}

/// One item of a profile has at most 15 ports, of which a range is two: so many fit into a rule of iptables.
std::vector<PortRanges> ufw_groups(const PortRanges& ports) {
  constexpr std::size_t kMost = 15;
  std::vector<PortRanges> groups;
  std::size_t used = kMost;
  for (const PortRange& range : ports) {
    const std::size_t size = range.is_single() ? 1 : 2;
    if (used + size > kMost) {
      groups.emplace_back();
      used = 0;
    }
    groups.back().push_back(range);
    used += size;
  }
  return groups;
}

/// PowerShell's own quoting: nothing in single quotes is special but the quote, for which it also takes the
/// four typographic ones (U+2018 to U+201B); doubled, each stands for itself.
std::string power_quoted(std::string_view text) {
  std::string quoted = "'";
  for (std::size_t at = 0; at < text.size();) {
    const bool typographic = text.substr(at).starts_with("\xe2\x80") && at + 2 < text.size() &&
                             static_cast<unsigned char>(text[at + 2]) >= 0x98 &&
                             static_cast<unsigned char>(text[at + 2]) <= 0x9b;
    const std::string_view piece = text.substr(at, typographic ? 3 : 1);
    quoted += piece;
    if (typographic || piece == "'") quoted += piece;
    at += piece.size();
  }
  return quoted + "'";
}

std::string power_ports(const PortRanges& ports) {
  std::string text;
  for (const PortRange& range : ports) text += (text.empty() ? "" : ", ") + power_quoted(range.to_text());
  return text;
}

}  // namespace

std::string nftables_rules(const RuleSet& set) {
  std::string name = own_name(set);
  std::replace(name.begin(), name.end(), '-', '_');
  return fmt::format(
      R"(#!/usr/sbin/nft -f
# Ports for: {0}. Made by culvert-vib; load it again after each change, it replaces itself.
#   nft -c -f FILE                                              checks it
#   nft -f FILE                                                 loads it
#   nft insert rule inet filter input jump {1}_in    once, if your chain is inet filter input
#   nft insert rule inet filter output jump {1}_out  once, if outgoing connections are filtered
# To remove it: delete the rules that jump (nft -a list chain inet filter input shows their handles), then
#   nft 'delete chain inet filter {1}_in; delete chain inet filter {1}_out'
table inet filter {{
  chain {1}_in {{
  }}
  chain {1}_out {{
  }}
}}
flush chain inet filter {1}_in
flush chain inet filter {1}_out
table inet filter {{
  chain {1}_in {{
{2}  }}
  chain {1}_out {{
{3}  }}
}}
)",
      set.role_name, name, chain_rules(set, true), chain_rules(set, false));
}

std::string iptables_rules(const RuleSet& set) {
  const std::string in = iptables_name(set, "-IN");
  const std::string out = iptables_name(set, "-OUT");
  return fmt::format(
      R"(# Ports for: {0}. Made by culvert-vib; load it again after each change, it replaces itself.
#   iptables-restore --test --noflush FILE    checks it; the same with ip6tables-restore
#   iptables-restore --noflush FILE           loads it
#   iptables -I INPUT -j {1}                  once
#   iptables -I OUTPUT -j {2}                 once, if outgoing connections are filtered
#   iptables -D INPUT -j {1}; iptables -F {1}; iptables -X {1}; the same with OUTPUT and {2}    removes it
*filter
:{1} - [0:0]
:{2} - [0:0]
-F {1}
-F {2}
{3}{4}COMMIT
)",
      set.role_name, in, out, iptables_chain(set, true, in), iptables_chain(set, false, out));
}

std::string firewalld_service(const RuleSet& set) {
  pugi::xml_document document;
  document.append_child(pugi::node_comment)
      .set_value(
          fmt::format(
              " Made by culvert-vib. firewall-cmd (permanent) new-service-from-file=FILE name={0}, then "
              "add-service={0}. (permanent) info-service={0} checks it; (permanent) remove-service={0}, then "
              "delete-service={0}, removes it; reload after each ",
              own_name(set))
              .c_str());
  pugi::xml_node service = document.append_child("service");
  add_text(service, "short", "Culvert: " + set.role_name);
  std::string described;
  for (const FirewallRule& rule : set.rules) {
    if (rule.incoming)
      described += fmt::format("{}{} from {}", described.empty() ? "" : "; ", rule.row, rule.peer);
  }
  add_text(service, "description", described);
  for (const char* protocol : {"tcp", "udp"}) {
    for (const PortRange& range : incoming_ports(set, protocol)) {
      pugi::xml_node port = service.append_child("port");
      port.append_attribute("protocol") = protocol;
      port.append_attribute("port") = range.to_text().c_str();
    }
  }
  return xml_text(document, XmlStyle::Indented);
}

std::string ufw_profile(const RuleSet& set) {
  std::string ports;
  for (const char* protocol : {"tcp", "udp"}) {
    for (const PortRanges& group : ufw_groups(incoming_ports(set, protocol)))
      ports += fmt::format("{}{}/{}", ports.empty() ? "" : "|", ports_text(group, ",", ":"), protocol);
  }
  return fmt::format(
      R"(# Made by culvert-vib. Put it into /etc/ufw/applications.d, then:
#   ufw app info {0}                        checks it
#   ufw app update {0}; ufw allow {0}    opens the ports
#   ufw delete allow {0}                    closes them; then delete the file
[{0}]
title=Culvert: {1}
description=Ports that replication needs on this machine
ports={2}
)",
      own_name(set), set.role_name, ports);
}

std::string windows_script(const RuleSet& set) {
  std::string text = fmt::format(
      R"(# Ports for: {0}. Made by culvert-vib; run it as administrator, again after each change.
#   powershell -ExecutionPolicy Bypass -File FILE            opens them
#   powershell -ExecutionPolicy Bypass -File FILE -Remove    takes the rules away; groups of
#   Windows' own stay enabled, as they may have been before
param([switch]$Remove)
$ErrorActionPreference = 'Stop'
$group = {1}
Get-NetFirewallRule -Group $group -ErrorAction SilentlyContinue | Remove-NetFirewallRule
if ($Remove) {{ return }}
)",
      set.role_name, power_quoted("Culvert " + set.role));
  for (const FirewallRule& rule : set.rules) {
    if (!rule.windows_group.empty()) {
      // Dynamic RPC ports are Windows' own business: its rules know the service behind them.
      text += fmt::format("# {}\nEnable-NetFirewallRule -Group {}\n", rule.purpose,
                          power_quoted(rule.windows_group));
      continue;
    }
    text += fmt::format(
        "New-NetFirewallRule -Group $group -DisplayName {} -Description {} -Direction {} -Action Allow "
        "-Protocol {} "
        "-{} {} | Out-Null\n",
        power_quoted(fmt::format("Culvert: {} ({})", rule.row, rule.protocol)), power_quoted(rule.purpose),
        rule.incoming ? "Inbound" : "Outbound", rule.protocol == "tcp" ? "TCP" : "UDP",
        rule.incoming ? "LocalPort" : "RemotePort", power_ports(rule.ports));
  }
  return text;
}

std::string markdown_request(const RuleSet& set) {
  std::string text = fmt::format(
      R"(# Firewall request: {0}

Please allow the following connections. The side that opens the connection is the source; answers on the same connection
belong to it.

| source | destination | protocol | destination port | purpose |
|---|---|---|---|---|
)",
      set.role_name);
  for (const FirewallRule& rule : set.rules) {
    text += fmt::format("| {} | {} | {} | {} | {} |\n", rule.incoming ? rule.peer : set.role_name,
                        rule.incoming ? set.role_name : rule.peer, rule.protocol == "tcp" ? "TCP" : "UDP",
                        ports_text(rule.ports), rule.purpose);
  }
  return text;
}

std::string csv_request(const RuleSet& set) {
  std::string text = "row,source,destination,protocol,destination port,purpose\r\n";
  for (const FirewallRule& rule : set.rules) {
    for (const std::string& cell :
         {rule.row, rule.incoming ? rule.peer : set.role_name, rule.incoming ? set.role_name : rule.peer,
          rule.protocol, ports_text(rule.ports)})
      text += csv_field(cell) + ",";
    text += csv_field(rule.purpose) + "\r\n";
  }
  return text;
}

}  // namespace culvert::firewall
