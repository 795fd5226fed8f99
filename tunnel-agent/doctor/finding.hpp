// What the doctor says: findings, and the report that holds them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace culvert {

/// One thing that is wrong. All three sentences are whole, without a full stop.
struct Finding {
  std::string id;  ///< For programs: "port_refused". docs/doctor.md lists all; they are only ever added.
  std::string cause;
  std::string evidence;  ///< What was seen.
  std::string advice;    ///< What to do about it.
  bool note = false;     ///< Worth knowing, and no fault: does not make a report unhealthy.

  friend bool operator==(const Finding&, const Finding&) = default;
};

/// No finding but notes.
bool is_healthy(const std::vector<Finding>& findings);

struct DoctorReport {
  std::string gateway;
  bool agent_runs = false;
  std::vector<Finding> findings;

  bool healthy() const { return is_healthy(findings); }
};

/// [{"id", "cause", "evidence", "advice", "severity": "fault" | "note"}].
nlohmann::json to_json(const std::vector<Finding>& findings);
/// One line each. Bytes that came from elsewhere are escaped.
std::string findings_text(const std::vector<Finding>& findings);

/// {"healthy", "gateway", "agent_runs", "findings"}.
nlohmann::json to_json(const DoctorReport& report);

/// One line per finding, or one that says that all is well. Bytes that came from elsewhere are escaped.
std::string report_text(const DoctorReport& report);

}  // namespace culvert
