#include "tunnel-agent/doctor/agent_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <string_view>

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

/// How long ago `at` was. Nothing for what is no time, or not past by this clock.
std::optional<std::chrono::seconds> age_of(const std::string& at, certs::UtcTime now) {
  std::tm broken{};
  const char* const end = ::strptime(at.c_str(), "%Y-%m-%dT%H:%M:%SZ", &broken);
  if (end == nullptr || *end != '\0') return std::nullopt;
  const auto age = now - certs::UtcTime{std::chrono::seconds{::timegm(&broken)}};
  if (age < std::chrono::seconds{}) return std::nullopt;
  return age;
}

std::string age_text(std::chrono::seconds age) {
  const auto minutes = age.count() / 60;
  if (minutes < 2 * 60) return fmt::format("{} minutes", minutes);
  return minutes < 2 * 24 * 60 ? fmt::format("{} hours", minutes / 60)
                               : fmt::format("{} days", minutes / 60 / 24);
}

Finding not_allowed(const std::string& forward, std::string seen) {
  return {"target_not_allowed",
          fmt::format("forward {} leads to a target that this site may not reach", forward), std::move(seen),
          "ask the provider to add or allow the target, or remove the forward"};
}

/// What a target's trouble means. Reasons are those of docs/protocol.md §12.
std::optional<Finding> conclude_trouble(const std::string& name, const json& trouble) {
  const std::string reason = text(trouble, "reason");
  const std::string seen = fmt::format("its latest stream ended at {} with {}: {}", text(trouble, "at"),
                                       reason, text(trouble, "text"));
  if (reason == "target_unknown" || reason == "target_address_forbidden") return not_allowed(name, seen);
  if (reason == "target_refused") {
    return Finding{"target_refused", fmt::format("the target of forward {} refuses connections", name), seen,
                   "ask the provider whether the target's program runs and listens on that port"};
  }
  if (reason == "socket_failed" && text(trouble, "text").find("timed out") != std::string::npos) {
    return Finding{
        "target_half_open",
        fmt::format("the target of forward {} is half-open: it vanished without ending its connections",
                    name),
        seen,
        "ask the provider whether the target's machine runs, and what between gateway and target forgets "
        "connections"};
  }
  if (reason == "target_unreachable" || reason == "target_timed_out" || reason == "target_name_unresolved") {
    return Finding{"target_unreachable", fmt::format("the target of forward {} cannot be reached", name),
                   seen,
                   "ask the provider whether the target's machine runs at that address, the gateway has a "
                   "way to it, and a firewall between lets it pass"};
  }
  return std::nullopt;
}

/// Words of the gateway for a site that did show who it is. Certificate and signature both hold for one TLS
/// connection (docs/protocol.md §3.5): that which reached the gateway was another one.
bool showed_in_vain(const Error& error) {
  constexpr std::string_view kWords[] = {"is not of this connection",
                                         "needs the client certificate of a site"};
  return error.code() == Errc::Unauthorized && std::ranges::any_of(kWords, [&](std::string_view words) {
           return error.message().find(words) != std::string::npos;
         });
}

Finding ended_on_the_way(const ControlFact& control) {
  const std::string shown = control.presented
                                ? fmt::format("a certificate of '{}' signed by '{}'",
                                              control.presented->subject, control.presented->issuer)
                                : "a certificate";
  // Behind the first semicolon stands what to do about a site that the gateway does not know.
  const std::string& message = control.error->message();
  return {"tls_interception",
          fmt::format("TLS is ended on the way: by somebody with {} which this agent trusts", shown),
          fmt::format("{} is presented here, and {}", shown, message.substr(0, message.find(';'))),
          "have the owner of proxy, load balancer or firewall pass TLS to the gateway as a whole, or exempt "
          "the gateway's name from TLS inspection; the site itself need not join again"};
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
  if (showed_in_vain(error)) return {ended_on_the_way(control)};
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
    if (text(forward, "state") != "failed") continue;
    const std::string error = text(forward, "error");
    const bool taken = error.find("is in use by") != std::string::npos;
    findings.push_back(
        conclude_forward(text(forward, "name"), taken ? Errc::PortInUse : Errc::IoFailed, error));
  }
  return findings;
}

std::vector<TargetFact> targets_of(const std::vector<ForwardFile>& files, const std::vector<json>& looks) {
  std::vector<TargetFact> all;
  if (looks.empty()) {
    for (const ForwardFile& file : files) {
      if (file.forward) all.push_back({file.name, file.forward->target});
    }
    return all;
  }
  std::map<std::string, std::string> target_of;  // The status does not say it.
  for (const ForwardFile& file : files) {
    if (file.forward) target_of.emplace(file.name, file.forward->target);
  }
  for (const json& forward : looks.back().at("forwards")) {
    TargetFact fact{text(forward, "name"), {}};
    if (const auto found = target_of.find(fact.forward); found != target_of.end())
      fact.target = found->second;
    if (const auto found = forward.find("target_trouble"); found != forward.end()) fact.trouble = *found;
    all.push_back(std::move(fact));
  }
  return all;
}

std::vector<Finding> conclude_targets(const std::vector<TargetFact>& targets,
                                      const std::optional<std::vector<std::string>>& allowed,
                                      certs::UtcTime now) {
  std::vector<Finding> findings;
  for (const TargetFact& fact : targets) {
    const bool listed = allowed && std::ranges::find(*allowed, fact.target) != allowed->end();
    if (allowed && !fact.target.empty() && !listed) {
      findings.push_back(not_allowed(
          fact.forward,
          fmt::format("the gateway lists this site's targets, and '{}' is not one of them", fact.target)));
      continue;
    }
    if (!fact.trouble.is_object()) continue;
    // It was added meanwhile, and only a stream would tell the agent.
    if (listed && text(fact.trouble, "reason") == "target_unknown") continue;
    auto finding = conclude_trouble(fact.forward, fact.trouble);
    if (!finding) continue;
    if (const auto age = age_of(text(fact.trouble, "at"), now); age && *age > kTargetNews) {
      // Nobody dials a target only to look, so that what was mended meanwhile is not known.
      finding->note = true;
      finding->evidence += fmt::format("; that was {} ago, and none has opened since", age_text(*age));
      finding->advice += "; it may be mended already, which the next stream shows";
    }
    findings.push_back(std::move(*finding));
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
