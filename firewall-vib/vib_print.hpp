// What `inspect` and `verify` show of a VIB.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "firewall-vib/vib_reader.hpp"

namespace culvert::firewall {

/// {id, name, …, payloads[], rulesets[], signature, findings[{weight, text}]}: keys are only ever added.
/// Foreign bytes that are not UTF-8 are for the caller's dump() to replace.
nlohmann::ordered_json vib_json(const VibReport& report);
/// The same for people.
std::string vib_text(const VibReport& report);
/// One line for each finding.
std::string findings_text(const VibReport& report);

}  // namespace culvert::firewall
