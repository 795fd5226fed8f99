#include "tunnel-agent/doctor/agent_check.hpp"

#include <fmt/format.h>

#include <algorithm>

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

bool waits(const json& status) {
  return status.value("backlog_bytes", std::uint64_t{0}) > 0;
}

bool all_wait(const std::vector<json>& looks) {
  return std::all_of(looks.begin(), looks.end(), waits);
}

/// The same lanes in both, and not a byte came back on any: a lane that lives is answered at least every 0.5
/// s.
bool silent_between(const json& before, const json& now) {
  const json& old_lanes = before.at("lanes");
  const json& lanes = now.at("lanes");
  if (lanes.empty() || lanes.size() != old_lanes.size()) return false;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (lanes[i].at("id") != old_lanes[i].at("id")) return false;
    if (lanes[i].at("received_bytes") != old_lanes[i].at("received_bytes")) return false;
  }
  return true;
}

/// All lanes of the earlier look are gone, and what waited still does: each new one fell silent in its turn.
bool replaced_between(const json& before, const json& now) {
  const json& old_lanes = before.at("lanes");
  const json& lanes = now.at("lanes");
  const bool kept = std::any_of(lanes.begin(), lanes.end(), [&](const json& lane) {
    return std::any_of(old_lanes.begin(), old_lanes.end(),
                       [&](const json& old) { return old.at("id") == lane.at("id"); });
  });
  return !lanes.empty() && !old_lanes.empty() && !kept &&
         now.value("backlog_bytes", std::uint64_t{0}) >= before.value("backlog_bytes", std::uint64_t{0});
}

std::vector<Finding> conclude_session(const std::vector<json>& looks, const ControlFact& control) {
  const json& now = looks.back();
  const json& session = now.at("session");
  const std::string state = text(session, "state");
  const bool control_works = control.asked && !control.error;
  for (std::size_t i = 1; control_works && i < looks.size(); ++i) {
    if (!all_wait(looks) || !silent_between(looks[i - 1], looks[i])) continue;
    return {data_blocked(
        fmt::format("the gateway answers, but {} lane{} got no byte back for a second while {} bytes wait",
                    looks[i].at("lanes").size(), looks[i].at("lanes").size() == 1 ? "" : "s",
                    looks[i].at("backlog_bytes").dump()))};
  }
  if (control_works && all_wait(looks) && replaced_between(looks.front(), now)) {
    return {data_blocked(fmt::format(
        "the gateway answers and lanes come up, but each falls silent and is replaced, while {} bytes wait",
        now.at("backlog_bytes").dump()))};
  }
  if (state == "up") return {};
  // An agent that has just begun, or is in the middle of coming back, is not stuck.
  if (text(looks.front().at("session"), "state") != state || state == "connecting") return {};
  const std::string why =
      fmt::format("session {} since {}: {}", state, text(session, "since"), text(session, "error"));
  if (!control_works) return {};
  if (!text(session, "id").empty())
    return {data_blocked("the gateway answers and grants a session, but no lane can be made; " + why)};
  return {{"session_down", "the agent has no session, although the gateway answers", why,
           "wait for the agent's next attempt and ask again; then look into its log"}};
}

/// What is stuck is so for a second: looks that follow each other more quickly say nothing of that.
std::vector<json> first_middle_last(const std::vector<json>& looks) {
  std::vector<json> some{looks.front()};
  if (looks.size() > 2) some.push_back(looks[looks.size() / 2]);
  if (looks.size() > 1) some.push_back(looks.back());
  return some;
}

/// What a target's trouble means. Reasons are those of docs/protocol.md §12.
std::optional<Finding> conclude_target(const json& forward) {
  const auto found = forward.find("target_trouble");
  if (found == forward.end() || !found->is_object()) return std::nullopt;
  const std::string reason = text(*found, "reason");
  const std::string name = text(forward, "name");
  const std::string seen = fmt::format("its latest stream ended at {} with {}: {}", text(*found, "at"),
                                       reason, text(*found, "text"));
  if (reason == "target_unknown" || reason == "target_address_forbidden") {
    return Finding{"target_not_allowed",
                   fmt::format("forward {} leads to a target that this site may not reach", name), seen,
                   "ask the provider to add or allow the target, or remove the forward"};
  }
  if (reason == "target_refused") {
    return Finding{"target_refused", fmt::format("the target of forward {} refuses connections", name), seen,
                   "ask the provider whether the target's program runs and listens on that port"};
  }
  if (reason == "socket_failed" && text(*found, "text").find("timed out") != std::string::npos) {
    return Finding{
        "target_half_open",
        fmt::format("the target of forward {} is half-open: it vanished without ending its connections",
                    name),
        seen,
        "ask the provider whether the target's machine runs, and what between gateway and target forgets "
        "connections"};
  }
  if (reason == "target_unreachable" || reason == "target_timed_out" || reason == "target_name_unresolved") {
    return Finding{
        "target_unreachable", fmt::format("the target of forward {} cannot be reached", name), seen,
        "ask the provider whether the gateway has a way to the target, and a firewall between lets it pass"};
  }
  return std::nullopt;
}

}  // namespace

bool refuses_site(const ControlFact& control) {
  return control.error &&
         (control.error->code() == Errc::Unauthorized || control.error->code() == Errc::Forbidden);
}

std::vector<Finding> conclude_control(const ControlFact& control) {
  if (control.only_by_proof) {
    return {
        {"alpn_blocked", "something on the way does not let TLS with culvert/1 pass",
         "the handshake with ALPN culvert/1 failed, and the one with http/1.1 came about",
         "nothing has to be done: the agent proves its identity by a signature instead; set identity = "
         "\"proof\" under [transport] in agent.toml to spare each start the attempt, or ask the owner of the "
         "firewall to let the ALPN value culvert/1 pass",
         /*note=*/true}};
  }
  if (!control.asked || !control.error) return {};
  const Error& error = *control.error;
  if (refuses_site(control)) {
    return {{"identity_refused", "the gateway does not accept this site", error.text(),
             "ask the provider whether the site was removed; join again with a new joining string"}};
  }
  return {{"control_failed", "the gateway answers, but not to this site's question who it is", error.text(),
           "ask again in a minute, then ask the provider"}};
}

std::vector<Finding> conclude_status(const std::vector<json>& looks, const ControlFact& control) {
  std::vector<Finding> findings = conclude_session(first_middle_last(looks), control);
  if (findings.empty()) findings = conclude_limit(looks);
  for (const json& forward : looks.back().at("forwards")) {
    if (auto target = conclude_target(forward)) findings.push_back(std::move(*target));
    if (text(forward, "state") != "failed") continue;
    const std::string error = text(forward, "error");
    const bool taken = error.find("is in use by") != std::string::npos;
    findings.push_back(
        conclude_forward(text(forward, "name"), taken ? Errc::PortInUse : Errc::IoFailed, error));
  }
  return findings;
}

DepotFact depot_of(const Result<json>& answer, std::uint16_t port) {
  DepotFact depot{port, {}};
  if (answer && answer->contains("depot")) {
    const json& said = answer->at("depot");
    if (text(said, "state") == "failed") depot.error = text(said, "error");
  } else if (!answer && (answer.error().code() == Errc::ConfigInvalid ||
                         answer.error().code() == Errc::FileUnreadable)) {
    depot.error = answer.error().text();
  }
  return depot;
}

}  // namespace culvert
