// Which ports an agent has, read from its configuration: the pool, every forward, the depot, the gateway.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "firewall-vib/port_range.hpp"

namespace culvert::firewall {

struct AgentPorts {
  PortRanges forwards;                     ///< The pool and the port of every forward.
  std::optional<std::uint16_t> depot{80};  ///< None when it is switched off.
  std::uint16_t gateway = 443;             ///< Where the agent connects to.
};

/// Without `port_pool` in the file: 10000-10010.
/// @param config  agent.toml; its forwards are in forwards.d of its data directory.
/// @error ConfigInvalid, NotFound, FileUnreadable, with the file and what to do. A key that the agent does
/// not
///        have, a value of another kind, and any other file than an agent.toml are refused: to open the
///        default ports instead would be a surprise.
Result<AgentPorts> ports_of_agent(const std::filesystem::path& config);

constexpr std::string_view kDefaultPool = "10000-10010";

}  // namespace culvert::firewall
