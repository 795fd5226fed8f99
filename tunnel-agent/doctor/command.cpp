#include "tunnel-agent/doctor/command.hpp"

#include <ostream>

#include "tunnel-agent/doctor/backup_exec_check.hpp"
#include "tunnel-agent/doctor/backup_exec_errors.hpp"
#include "tunnel-agent/doctor/doctor.hpp"
#include "tunnel-core/daemon/json_text.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

namespace {

template <class Report>
Result<bool> show(const Result<Report>& report, bool json, std::ostream& out) {
  if (!report) return report.error();
  out << (json ? json_text(to_json(*report)) : report_text(*report));
  return report->healthy();
}

}  // namespace

Result<bool> doctor_command(const DoctorOptions& options, const std::string& config_file, std::ostream& out,
                            std::ostream& err) {
  if (auto usable = check_doctor_options(options); !usable) return std::move(usable).error();
  const auto progress = [&err](std::string_view line) {
    err << escape_controls(std::string{line}) << std::endl;  // Flushed: it is to be seen while we work.
  };
  if (options.listen) return show(listen_for_check(options, progress), options.json, out);
  if (!options.backup_exec.empty()) return show(check_backup_exec(options, progress), options.json, out);
  const auto config = load_config(config_file);
  if (!config) return config.error();
  return show(run_doctor(*config, progress), options.json, out);
}

Result<void> explain_command(const DoctorOptions& options, std::ostream& out) {
  std::vector<BackupExecError> errors = backup_exec_errors();
  if (!options.explained.empty()) {
    auto error = explain_backup_exec(options.explained);
    if (!error) return std::move(error).error();
    errors = {std::move(*error)};
  }
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const BackupExecError& error : errors) list.push_back(to_json(error));
    out << json_text(nlohmann::json{{"errors", std::move(list)}});
    return {};
  }
  for (std::size_t i = 0; i < errors.size(); ++i) out << (i == 0 ? "" : "\n") << error_text(errors[i]);
  return {};
}

}  // namespace culvert
