// The agent's side of firewall rules: which ports its VIB opens, the depot that hands it out, and what
// `culvert-agent firewall` says.
#pragma once

#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "firewall-vib/depot_server.hpp"
#include "firewall-vib/port_range.hpp"
#include "tunnel-agent/config.hpp"

namespace culvert {

/// Serves the VIB for the ports that the agent has at the moment. Any thread.
class FirewallDepot {
 public:
  /// Nothing is served before the first update(), and never when the configuration says so.
  explicit FirewallDepot(const AgentConfig& config) : config_(config) {}

  /// Reads pool and forwards, and builds the VIB anew when the ports have changed; without a depot its
  /// version alone rises, for the VIB that is built by hand. What goes wrong is logged and shown by report():
  /// replication does not need the depot.
  void update();

  /// @param host  as ESXi hosts reach this machine; empty: its own name.
  /// @error ConfigInvalid, FileUnreadable.
  Result<nlohmann::json> report(const std::string& host);

 private:
  Result<void> rebuild(const firewall::PortRanges& ports);

  const AgentConfig& config_;
  std::mutex mutex_;             ///< For all below.
  firewall::PortRanges served_;  ///< Those of the version that was kept last.
  std::string error_;
  std::unique_ptr<firewall::DepotServer> server_;
};

/// What report() says, without an agent that runs: {"ports", "vib", "depot", "urls", "commands",
/// "without_vib"}; keys are only ever added.
Result<nlohmann::json> firewall_report(const AgentConfig& config, const std::string& host);

/// The report for people.
std::string firewall_text(const nlohmann::json& report);

}  // namespace culvert
