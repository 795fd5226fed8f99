// The number that rises each time the rules of an agent's VIB change: hosts take an update only with a higher
// version.
#pragma once

#include <filesystem>

#include "firewall-vib/port_range.hpp"

namespace culvert::firewall {

/// The revision for these ports: the one kept in `file`, or the next when the ports are others. Writes
/// nothing.
/// @error FileUnreadable; ConfigInvalid when the file is not what we wrote, with what to do.
Result<unsigned> revision_for(const std::filesystem::path& file, const PortRanges& ports);

/// The same, and keeps it.
/// @error also DiskFull, IoFailed.
Result<unsigned> keep_revision(const std::filesystem::path& file, const PortRanges& ports);

}  // namespace culvert::firewall
