// `culvert-agent doctor` and `culvert-agent explain`, from what was asked to what is printed.
#pragma once

#include <iosfwd>

#include "tunnel-agent/config.hpp"
#include "tunnel-agent/doctor_options.hpp"

namespace culvert {

/// Progress to `err`, the report to `out`. @return true when nothing was found.
/// @error as run_doctor(), check_backup_exec(), listen_for_check(); those of the configuration, which is read
/// only
///        where the check is not about ports.
Result<bool> doctor_command(const DoctorOptions& options, const std::string& config_file, std::ostream& out,
                            std::ostream& err);

/// @error NotFound: a code that is not known here.
Result<void> explain_command(const DoctorOptions& options, std::ostream& out);

}  // namespace culvert
