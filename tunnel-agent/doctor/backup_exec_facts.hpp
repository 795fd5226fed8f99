// What was seen of Backup Exec's ports from both ends. The check fills it, the conclusions read it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tunnel-agent/doctor/finding.hpp"
#include "tunnel-agent/doctor/port_plan.hpp"
#include "tunnel-agent/doctor/port_probe.hpp"

namespace culvert {

/// One port of the plan, as it was from the end that dials it in real life.
struct CheckedPort {
  PlannedPort plan;
  bool checked = false;
  PortFact fact;
  std::string taken_by;  ///< At the listening end: who has the port instead of the check. Empty: nobody.
  bool missing = false;  ///< The listening end was not told to hold it.
};

struct BackupExecFacts {
  std::string host;                                   ///< The other end, as it was named.
  BackupExecRole here = BackupExecRole::MediaServer;  ///< What this machine is.
  std::string resolve_error;                          ///< Empty: the name resolves.
  firewall::PortRange data;
  unsigned jobs = 1;
  std::vector<CheckedPort> ports;  ///< In rising order.
  bool other_end_answers = false;  ///< False: what is open there belongs to other programs.
  std::string back_error;          ///< Why the other end did not dial back; empty where it did or had not to.
};

enum class PortVerdict {
  Fine,  ///< Open, not dialled, or a data port that connects to another program while others are open.
  Closed,
  Unproven,  ///< Another program has it, and no bytes pass that would prove it open.
};
/// @param some_data  some_data_open() of all ports.
PortVerdict verdict(const CheckedPort& port, bool some_data);
/// True when bytes passed on a data port at least.
bool some_data_open(const std::vector<CheckedPort>& ports);

struct BackupExecReport {
  BackupExecFacts facts;
  std::vector<Finding> findings;

  bool healthy() const { return is_healthy(findings); }
};

/// Only of the range itself: too few ports for Backup Exec, or for its parallel jobs.
std::vector<Finding> conclude_data_range(const firewall::PortRange& data, unsigned jobs);
std::vector<Finding> conclude_backup_exec(const BackupExecFacts& facts);

/// {"healthy", "host", "as", "ports": [{"port", "row", "service", "from", "to", "state", "detail"}],
/// "findings"}.
nlohmann::json to_json(const BackupExecReport& report);
std::string report_text(const BackupExecReport& report);

}  // namespace culvert
