// The doctor as a command: progress to `err`, the report to `out`.
#pragma once

#include <iosfwd>

#include "tunnel-agent/config.hpp"

namespace culvert {

/// @return whether all is well. @error as run_doctor().
Result<bool> doctor_command(const AgentConfig& config, bool json, std::ostream& out, std::ostream& err);

}  // namespace culvert
