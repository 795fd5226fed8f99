#include "tunnel-agent/doctor/agent_check.hpp"

#include <fmt/format.h>

#include "tunnel-agent/doctor/machine_check.hpp"

namespace culvert {

using nlohmann::json;

namespace {

std::string text(const json& object, const char* key) {
  return object.value(key, std::string{});
}

Finding data_blocked(std::string evidence) {
  return {"data_blocked", "control works but data is blocked", std::move(evidence),
          "ask the owner of the firewall whether connections to the gateway that stay open are inspected or "
          "cut, and the provider whether the address for lanes can be reached"};
}

std::uint64_t carried(const json& lanes) {
  std::uint64_t sum = 0;
  for (const json& lane : lanes)
    sum += lane.value("sent_bytes", std::uint64_t{0}) + lane.value("received_bytes", std::uint64_t{0});
  return sum;
}

bool waits(const json& status) {
  return status.value("backlog_bytes", std::uint64_t{0}) > 0;
}

std::vector<Finding> conclude_session(const json& before, const json& now, const ControlFact& control) {
  const json& session = now.at("session");
  const std::string state = text(session, "state");
  const bool control_works = control.asked && !control.error;
  if (state != "up") {
    // An agent that has just begun, or is in the middle of coming back, is not stuck.
    if (text(before.at("session"), "state") != state || state == "connecting") return {};
    const std::string why =
        fmt::format("session {} since {}: {}", state, text(session, "since"), text(session, "error"));
    if (control_works && !text(session, "id").empty())
      return {data_blocked("the gateway answers and grants a session, but no lane can be made; " + why)};
    if (control_works)
      return {{"session_down", "the agent has no session, although the gateway answers", why,
               "wait for the agent's next attempt and ask again; then look into its log"}};
    return {};
  }
  const bool stuck = waits(before) && waits(now) && text(session, "limited_by") != "window" &&
                     carried(before.at("lanes")) == carried(now.at("lanes"));
  if (control_works && stuck)
    return {data_blocked(fmt::format("the gateway answers, but {} lanes carry nothing while {} bytes wait",
                                     now.at("lanes").size(), now.at("backlog_bytes").dump()))};
  return {};
}

std::vector<Finding> conclude_limit(const json& before, const json& now) {
  const std::string limit = text(now.at("session"), "limited_by");
  if (!waits(before) || !waits(now) || limit != text(before.at("session"), "limited_by")) return {};
  const std::string evidence = fmt::format("{} bytes wait; the session's limit is its {} in two looks",
                                           now.at("backlog_bytes").dump(), limit);
  if (limit == "window")
    return {{"limited_by_window", "the far end takes no more: its targets are slower than the sources",
             evidence, "look at load and disk of the targets, or ask the provider to"}};
  if (limit == "memory")
    return {{"limited_by_memory", "the agent's memory for data on its way is used up", evidence,
             "raise [limits] session_memory in agent.toml and start the agent again"}};
  if (limit == "line")
    return {{"limited_by_line", "the line to the gateway is full: sources give more than it carries",
             evidence,
             "nothing is broken; if the line should carry more, look for other traffic and for a shaper"}};
  return {};
}

}  // namespace

std::vector<Finding> conclude_control(const ControlFact& control) {
  if (!control.asked || !control.error) return {};
  const Error& error = *control.error;
  if (error.code() == Errc::Unauthorized || error.code() == Errc::Forbidden) {
    return {{"identity_refused", "the gateway does not accept this site", error.text(),
             "ask the provider whether the site was removed; join again with a new joining string"}};
  }
  return {{"control_failed", "the gateway answers, but not to this site's question who it is", error.text(),
           "ask again in a minute, then ask the provider"}};
}

std::vector<Finding> conclude_status(const json& before, const json& now, const ControlFact& control) {
  std::vector<Finding> findings = conclude_session(before, now, control);
  if (findings.empty()) findings = conclude_limit(before, now);
  for (const json& forward : now.at("forwards")) {
    if (text(forward, "state") != "failed") continue;
    const std::string error = text(forward, "error");
    const bool taken = error.find("is in use by") != std::string::npos;
    findings.push_back(
        conclude_forward(text(forward, "name"), taken ? Errc::PortInUse : Errc::IoFailed, error));
  }
  return findings;
}

}  // namespace culvert
