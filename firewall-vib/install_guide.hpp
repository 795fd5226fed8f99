// The commands with which an administrator brings the VIB to ESXi hosts, checks it and takes it away.
#pragma once

#include <string>
#include <vector>

#include "firewall-vib/port_range.hpp"

namespace culvert::firewall {

struct GuideFacts {
  std::string host;  ///< The agent, as ESXi hosts reach it: a name or an address.
  std::uint16_t depot_port = 80;
  bool depot_enabled = true;
  PortRanges ports;         ///< Of the agent.
  PortRanges forwards;      ///< Of its forwards alone.
  std::string vib_version;  ///< Of the VIB for these ports.
};

struct InstallGuide {
  std::string depot_url;  ///< Empty without a depot.
  std::string vib_url;
  std::string bundle_url;
  std::vector<std::string> download;  ///< Shell lines, each for an ESXi host unless it says otherwise.
  std::vector<std::string> install;
  std::vector<std::string> check;
  std::vector<std::string> remove;
  std::vector<std::string> without_vib;  ///< Shell lines, on the agent unless they say otherwise.
  bool vib_needed = true;                ///< False when every forward is on a port that ESXi lets out anyway.
};

/// Ports that ESXi's own ruleset HBR lets out.
const PortRanges& ports_open_on_esxi();

InstallGuide install_guide(const GuideFacts& facts);

}  // namespace culvert::firewall
