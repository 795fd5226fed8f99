// Who has a TCP port of this machine.
#pragma once

#include <cstdint>
#include <string>

namespace culvert {

/// "process 812 (beremote)", or empty where /proc does not show it to us.
std::string port_holder(std::uint16_t port);

}  // namespace culvert
