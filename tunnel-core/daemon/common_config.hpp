// What both configurations hold: [log], and the memory limits of [limits].
#pragma once

#include "tunnel-core/base/units.hpp"
#include "tunnel-core/daemon/config_reader.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {

void read_log(ConfigReader& reader, LogConfig& log);

/// RAM, or the cgroup's limit when that is lower.
ByteCount usable_memory();
/// What a session may have when nobody says otherwise: an eighth of `memory`, but 64 to 512 MiB.
ByteCount automatic_session_memory(ByteCount memory);
/// What the process may have likewise: a quarter of `memory`. On a machine so small that this is less than
/// one session may have, one session fits all the same.
ByteCount automatic_process_memory(ByteCount memory, ByteCount session);
/// Rejects a process that may have less than one of its sessions.
void check_memory(ConfigReader& reader, ByteCount session, ByteCount process);

}  // namespace culvert
