#include "tunnel-agent/doctor/command.hpp"

#include <ostream>

#include "tunnel-agent/doctor/doctor.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

Result<bool> doctor_command(const AgentConfig& config, bool json, std::ostream& out, std::ostream& err) {
  const auto report = run_doctor(config, [&err](std::string_view line) {
    err << escape_controls(std::string{line}) << std::endl;  // Flushed: it is to be seen while we work.
  });
  if (!report) return report.error();
  if (json) {
    out << to_json(*report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    out << report_text(*report);
  }
  return report->healthy();
}

}  // namespace culvert
