// `culvert-agent doctor --backup-exec HOST` and its other end, `--listen`.
#pragma once

#include <functional>
#include <map>
#include <string_view>

#include "tunnel-agent/doctor/backup_exec_facts.hpp"
#include "tunnel-agent/doctor/port_answerer.hpp"
#include "tunnel-agent/doctor_options.hpp"

namespace culvert {

using Progress = std::function<void(std::string_view)>;

/// Blocks for at most 10 s. Holds this machine's own ports of the plan for a part of it.
/// @error UsageInvalid: as host_alone() and make_port_plan().
Result<BackupExecReport> check_backup_exec(const DoctorOptions& options, const Progress& progress);

struct ListenReport {
  std::vector<std::uint16_t> held;
  std::map<std::uint16_t, std::string> taken;
  std::vector<std::uint16_t> answered;  ///< Bytes came in, and the answer went out.
  std::vector<std::uint16_t> passed_back;
  bool finished = false;
  std::vector<Finding> findings;

  bool healthy() const { return is_healthy(findings); }
};

/// Blocks until a check is done, `options.listen_for` is over, or SIGINT or SIGTERM comes.
/// @error UsageInvalid: as make_port_plan(); PortInUse: not one port could be opened.
Result<ListenReport> listen_for_check(const DoctorOptions& options, const Progress& progress);

/// What the listening end makes of a check that was completed: it is healthy only when the other end is, and
/// when bytes passed on the control port and on a data port, in the direction in which they were dialled.
/// @param seen  its findings do not matter.
std::vector<Finding> conclude_listening(const EndReport& end, const PortPlan& plan, const ListenReport& seen);

/// {"healthy", "held", "taken": {"6101": "process …"}, "answered", "passed_back", "finished", "findings"}.
nlohmann::json to_json(const ListenReport& report);
std::string report_text(const ListenReport& report);

}  // namespace culvert
