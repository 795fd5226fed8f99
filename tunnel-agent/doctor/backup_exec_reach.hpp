// Whether anything of the other end was reached at all. What is behind the first obstacle is
// backup_exec_conclusions.cpp's.
#pragma once

#include <string>
#include <vector>

#include "tunnel-agent/doctor/backup_exec_facts.hpp"

namespace culvert {

using Ports = std::vector<const CheckedPort*>;

/// "10000, 20000-20024".
std::string numbers(const Ports& ports);
/// "TCP 20000-20003: no answer; TCP 20004: refused": ports of one answer together.
std::string seen(const Ports& ports);

/// What keeps every packet away, once and not as so many closed ports, as the doctor says it of the gateway.
/// @param there  the ports of `host` that were dialled from here.
/// @return nothing where something answered, or where nobody says why not, or only of single ports.
std::vector<Finding> conclude_reach(const Ports& there, const std::string& host);

}  // namespace culvert
