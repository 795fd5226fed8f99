// The payloads of a VIB: checksums, paths, modes, rulesets.
#pragma once

#include "firewall-vib/vib_reader.hpp"

namespace culvert::firewall {

/// Adds what it finds to `report`: a PayloadReport, findings, rulesets.
/// @param stored  the member of the archive, or null when it is missing.
void examine_payload(const Payload& payload, const std::string* stored, VibReport& report);

/// Compares descriptor.file-list with what the payloads hold. After all payloads.
void compare_file_list(VibReport& report);

}  // namespace culvert::firewall
