#include "tunnel-agent/doctor/finding.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

using nlohmann::json;

json to_json(const std::vector<Finding>& findings) {
  json list = json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"id", finding.id},
                    {"cause", finding.cause},
                    {"evidence", finding.evidence},
                    {"advice", finding.advice},
                    {"severity", finding.note ? "note" : "fault"}});
  }
  return list;
}

std::string findings_text(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += escape_controls(fmt::format("{}{}: {}. Seen: {}. Do: {}.", finding.note ? "note " : "",
                                        finding.id, finding.cause, finding.evidence, finding.advice)) +
            "\n";
  }
  return text;
}

bool is_healthy(const std::vector<Finding>& findings) {
  return std::all_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.note; });
}

json to_json(const DoctorReport& report) {
  return {{"healthy", report.healthy()},
          {"gateway", report.gateway},
          {"agent_runs", report.agent_runs},
          {"findings", to_json(report.findings)}};
}

std::string report_text(const DoctorReport& report) {
  const std::string said = findings_text(report.findings);
  if (report.healthy()) {
    return said +
           fmt::format("healthy: {} answers as it should{}\n", report.gateway,
                       report.agent_runs ? ", and the running agent has no trouble" : "; no agent runs here");
  }
  return said;
}

}  // namespace culvert
