#include "tunnel-agent/doctor/finding.hpp"

#include <fmt/format.h>

#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

using nlohmann::json;

json to_json(const std::vector<Finding>& findings) {
  json list = json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"id", finding.id},
                    {"cause", finding.cause},
                    {"evidence", finding.evidence},
                    {"advice", finding.advice}});
  }
  return list;
}

std::string findings_text(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += escape_controls(fmt::format("{}: {}. Seen: {}. Do: {}.", finding.id, finding.cause,
                                        finding.evidence, finding.advice)) +
            "\n";
  }
  return text;
}

json to_json(const DoctorReport& report) {
  return {{"healthy", report.healthy()},
          {"gateway", report.gateway},
          {"agent_runs", report.agent_runs},
          {"findings", to_json(report.findings)}};
}

std::string report_text(const DoctorReport& report) {
  if (report.healthy()) {
    return fmt::format("healthy: {} answers as it should{}\n", report.gateway,
                       report.agent_runs ? ", and the running agent has no trouble" : "; no agent runs here");
  }
  return findings_text(report.findings);
}

}  // namespace culvert
