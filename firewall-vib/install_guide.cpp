#include "firewall-vib/install_guide.hpp"

#include <fmt/format.h>

#include "firewall-vib/depot_tree.hpp"
#include "firewall-vib/port_catalogue.hpp"
#include "firewall-vib/ruleset.hpp"

namespace culvert::firewall {

namespace {

std::string base_url(const GuideFacts& facts) {
  const bool v6 = facts.host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + facts.host + "]" : facts.host;
  return facts.depot_port == 80 ? fmt::format("http://{}/", host)
                                : fmt::format("http://{}:{}/", host, facts.depot_port);
}

/// Without it a host may fetch nothing; it lets out what http_client_reaches() says.
constexpr const char* kMayFetch = "esxcli network firewall ruleset set -e true -r httpClient";

/// What ESXi's own ruleset httpClient lets out.
bool http_client_reaches(std::uint16_t port) {
  return port == 80 || port == 443;
}

}  // namespace

const PortRanges& ports_open_on_esxi() {
  return PortCatalogue::built_in().find("agent-ports-without-vib")->ports;
}

InstallGuide install_guide(const GuideFacts& facts) {
  InstallGuide guide;
  guide.vib_needed = facts.forwards.empty() || !all_within(facts.forwards, ports_open_on_esxi());
  const std::string local_vib = fmt::format("/tmp/{}", kDepotVib);
  const bool by_host = facts.depot_enabled && http_client_reaches(facts.depot_port);
  if (facts.depot_enabled) {
    const std::string base = base_url(facts);
    guide.depot_url = base + std::string{kDepotIndex};
    guide.vib_url = base + std::string{kDepotVib};
    guide.bundle_url = base + std::string{kDepotBundle};
    if (by_host) {
      guide.download = {kMayFetch, fmt::format("wget -O {} {}", local_vib, guide.vib_url)};
    } else {
      guide.download = {
          fmt::format("wget -O {} {}   # on another machine; copy it to {} of the host: ESXi's own ruleset "
                      "httpClient lets out ports 80 and 443 only, not {}",
                      kDepotVib, guide.vib_url, local_vib, facts.depot_port)};
    }
  } else {
    // Ports and version together: whenever this line is used, what it builds is what this version means.
    guide.download = {fmt::format(
        "culvert-vib build --ports {} --vib-version {} --out {}   # on the agent; copy it to {} of the host",
        ports_text(facts.ports, ","), facts.vib_version, kDepotVib, local_vib)};
  }
  guide.install = {"esxcli software acceptance set --level=CommunitySupported"};
  if (by_host) {
    // Again: who takes the URL needs no download, and skips it.
    guide.install.push_back(fmt::format("{}   # unless done for the download", kMayFetch));
    guide.install.push_back(fmt::format("esxcli software vib install -v {}", guide.vib_url));
    guide.install.push_back(
        fmt::format("esxcli software vib install -d {} -n {}   # instead: by way of the depot's index",
                    guide.depot_url, kVibName));
  } else {
    guide.install.push_back(fmt::format("esxcli software vib install -v {}", local_vib));
  }
  guide.install.emplace_back("esxcli network firewall refresh");
  guide.check = {fmt::format("esxcli software vib get -n {}", kVibName),
                 fmt::format("esxcli network firewall ruleset rule list -r {}", kRulesetId)};
  // The pool alone is not listened on: only a forward answers.
  if (!facts.forwards.empty())
    guide.check.push_back(fmt::format("nc -z {} {}", facts.host, facts.forwards.front().first));
  guide.remove = {fmt::format("esxcli software vib remove -n {}", kVibName),
                  "esxcli network firewall refresh"};
  guide.without_vib = {"esxcli network firewall ruleset set -e true -r HBR   # first, on the ESXi host"};
  for (const PortRange& range : ports_open_on_esxi()) {
    for (unsigned port = range.first; port <= range.last; ++port)
      guide.without_vib.push_back(fmt::format("culvert-agent forward add TARGET --port {}", port));
  }
  return guide;
}

}  // namespace culvert::firewall
