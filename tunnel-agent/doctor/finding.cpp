#include "tunnel-agent/doctor/finding.hpp"

#include <fmt/format.h>

#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

using nlohmann::json;

json to_json(const DoctorReport& report) {
  json findings = json::array();
  for (const Finding& finding : report.findings) {
    findings.push_back({{"id", finding.id},
                        {"cause", finding.cause},
                        {"evidence", finding.evidence},
                        {"advice", finding.advice}});
  }
  return {{"healthy", report.healthy()},
          {"gateway", report.gateway},
          {"agent_runs", report.agent_runs},
          {"findings", std::move(findings)}};
}

std::string report_text(const DoctorReport& report) {
  if (report.healthy()) {
    return fmt::format("healthy: {} answers as it should{}\n", report.gateway,
                       report.agent_runs ? ", and the running agent has no trouble" : "; no agent runs here");
  }
  std::string text;
  for (const Finding& finding : report.findings) {
    text += escape_controls(fmt::format("{}: {}. Seen: {}. Do: {}.", finding.id, finding.cause,
                                        finding.evidence, finding.advice)) +
            "\n";
  }
  return text;
}

}  // namespace culvert
