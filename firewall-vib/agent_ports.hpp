// Which ports an agent has, read from its configuration: the pool and every forward.
#pragma once

#include <filesystem>

#include "firewall-vib/port_range.hpp"

namespace culvert::firewall {

/// Without `port_pool` in the file: 10000-10010.
/// @param config  agent.toml; its forwards are in forwards.d of its data directory.
/// @error ConfigInvalid, NotFound, FileUnreadable, with the file and what to do.
Result<PortRanges> ports_of_agent(const std::filesystem::path& config);

constexpr std::string_view kDefaultPool = "10000-10010";

}  // namespace culvert::firewall
