// Listening sockets of a forward, as the kernel gives them: no event loop here.
#pragma once

#include <string>
#include <vector>

#include "tunnel-agent/forward.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/port_holder.hpp"

namespace culvert {

/// Opens `forward.port` on all its addresses, or none: a port that somebody else has on one of them is not
/// ours. IPv6 sockets take IPv6 only. A wildcard address whose family this machine lacks is left out.
/// @error PortInUse (with the holder, where /proc shows it), Forbidden (ports below 1024), IoFailed.
Result<std::vector<UniqueFd>> open_listen_sockets(const Forward& forward);

}  // namespace culvert
