// Who has a TCP port of this machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace culvert {

/// "process 812 (beremote)", or empty where /proc does not show it to us. This process is named only when it
/// alone has the port: what a caller has opened of it already is not what keeps the rest from it.
/// @param address  the one that could not be had, like "192.0.2.7" or "::" (IPv6 only); sockets on others do
///                 not count. Empty: any.
std::string port_holder(std::uint16_t port, std::string_view address = {});

}  // namespace culvert
