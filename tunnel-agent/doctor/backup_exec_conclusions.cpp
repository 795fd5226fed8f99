#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "tunnel-agent/doctor/backup_exec_errors.hpp"
#include "tunnel-agent/doctor/backup_exec_facts.hpp"

namespace culvert {

namespace {

using Ports = std::vector<const CheckedPort*>;

std::string numbers(const Ports& ports) {
  std::vector<std::uint16_t> list;
  for (const CheckedPort* port : ports) list.push_back(port->fact.port);
  return ports_text(list);
}

/// "TCP 20000-20003 no answer, 20004 refused": ports of one answer together.
std::string seen(const Ports& ports) {
  std::vector<std::pair<std::string, Ports>> groups;
  for (const CheckedPort* port : ports) {
    const std::string detail =
        port->taken_by.empty() ? port->fact.detail : port->fact.detail + " (" + port->taken_by + " has it)";
    const auto known =
        std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.first == detail; });
    if (known == groups.end())
      groups.push_back({detail, {port}});
    else
      known->second.push_back(port);
  }
  std::string text;
  for (const auto& [detail, members] : groups)
    text += fmt::format("{}TCP {}: {}", text.empty() ? "" : "; ", numbers(members), detail);
  return text;
}

class Conclusions {
 public:
  explicit Conclusions(const BackupExecFacts& facts) : facts_(facts) {}

  std::vector<Finding> run() {
    if (!facts_.resolve_error.empty()) {
      return {{"name_unresolved", fmt::format("the name {} does not resolve", facts_.host),
               facts_.resolve_error,
               "check the name and this machine's DNS; Backup Exec would say 0xE0000F25 (V-79-57344-3877)"}};
    }
    findings_ = conclude_data_range(facts_.data, facts_.jobs);
    if (nobody_listens()) return std::move(findings_);
    conclude_control_and_data();
    for (const CheckedPort& port : facts_.ports) {
      if (port.plan.row != kControlRow && port.plan.row != kDataRow) conclude_fixed(port);
    }
    conclude_missing();
    if (!facts_.back_error.empty()) {
      findings_.push_back(
          {"other_direction_unchecked", fmt::format("the ports that {} dials were not checked", facts_.host),
           facts_.back_error,
           fmt::format("mend the other findings first, or check from there: `culvert-agent doctor --listen` "
                       "here, and "
                       "`culvert-agent doctor --backup-exec THIS-MACHINE --as {}` there",
                       facts_.here == BackupExecRole::MediaServer ? "remote-server" : "media-server")});
    }
    return std::move(findings_);
  }

 private:
  std::string from(const CheckedPort& port) const { return role_text(other_role(port.plan.listens)); }
  std::string to(const CheckedPort& port) const { return role_text(port.plan.listens); }

  Ports pick(const std::function<bool(const CheckedPort&)>& wanted) const {
    Ports picked;
    for (const CheckedPort& port : facts_.ports) {
      if (port.checked && wanted(port)) picked.push_back(&port);
    }
    return picked;
  }

  bool nobody_listens() {
    const Ports there = pick([this](const CheckedPort& port) { return port.plan.listens != facts_.here; });
    const bool refused =
        !there.empty() && std::all_of(there.begin(), there.end(), [](const CheckedPort* port) {
          return port->fact.state == PortState::Refused;
        });
    if (!refused) return false;
    findings_.push_back({"other_end_not_listening", fmt::format("{} refuses every port", facts_.host),
                         seen(there),
                         fmt::format("start `culvert-agent doctor --listen` on {} with the same --ports and "
                                     "--data-range; if it runs, a firewall on the way rejects all of them",
                                     facts_.host)});
    return true;
  }

  void conclude_control_and_data() {
    const Ports control = pick([](const CheckedPort& port) { return port.plan.row == kControlRow; });
    const Ports data =
        pick([](const CheckedPort& port) { return port.plan.row == kDataRow && !port.missing; });
    Ports closed;
    for (const CheckedPort* port : data) {
      if (verdict(*port) == PortVerdict::Closed) closed.push_back(port);
    }
    for (const CheckedPort* port : control) conclude_fixed(*port);
    if (closed.empty()) return;
    const auto is_open = [](const CheckedPort* port) { return port->fact.state == PortState::Open; };
    const bool control_works = std::any_of(control.begin(), control.end(), is_open);
    const bool some_data = std::any_of(data.begin(), data.end(), is_open);
    const std::string advice = fmt::format(
        "open TCP {} from the media server to the remote server in every firewall between, those of both "
        "machines "
        "included; it has to be the range that Network and Security of the Backup Exec server names. While "
        "it is closed, {}{}",
        facts_.data.to_text(), control_works ? "browsing works in Backup Exec, but " : "",
        symptom_of_row(kDataRow));
    if (control_works && some_data) {
      findings_.push_back(
          {"data_partly_blocked", "control works but a part of the data range is blocked",
           fmt::format("{} of {} data ports pass no bytes: {}", closed.size(), data.size(), seen(closed)),
           advice});
    } else if (control_works) {
      findings_.push_back(
          {"data_blocked", "control works but data is blocked",
           fmt::format("TCP {} to the remote server passes bytes both ways, none of {} data ports does: {}",
                       numbers(control), data.size(), seen(closed)),
           advice});
    } else {
      findings_.push_back({"backup_exec_port_closed",
                           fmt::format("data ports {} are blocked", numbers(closed)), seen(closed), advice});
    }
  }

  void conclude_fixed(const CheckedPort& port) {
    const PortVerdict judged = verdict(port);
    if (port.missing || judged == PortVerdict::Fine) return;
    const std::string where = fmt::format("TCP {} ({}) from the {} to the {}", port.fact.port,
                                          port.plan.service, from(port), to(port));
    if (judged == PortVerdict::Unproven) {
      findings_.push_back(
          {"port_unproven", fmt::format("whether {} is open cannot be proved", where), seen({&port}),
           "stop the program that has the port for the time of this check, at the end that listens"});
      return;
    }
    findings_.push_back(
        {"backup_exec_port_closed",
         fmt::format("{} is {}", where,
                     port.fact.state == PortState::Dropped  ? "silently dropped"
                     : port.fact.state == PortState::Silent ? "connected but passes no bytes"
                                                            : "closed"),
         seen({&port}),
         fmt::format("open it in every firewall between, those of both machines and of antivirus programs "
                     "included. While it is closed, {}",
                     symptom_of_row(port.plan.row))});
  }

  void conclude_missing() {
    const Ports missing = pick([](const CheckedPort& port) { return port.missing; });
    if (missing.empty()) return;
    findings_.push_back({"other_end_not_listening",
                         fmt::format("{} does not listen on all ports", facts_.host),
                         fmt::format("it was not told of TCP {}", numbers(missing)),
                         "start both ends with the same --ports and --data-range"});
  }

  const BackupExecFacts& facts_;
  std::vector<Finding> findings_;
};

nlohmann::json to_json(const CheckedPort& port) {
  return {{"port", port.plan.port},
          {"row", port.plan.row.empty() ? nlohmann::json(nullptr) : nlohmann::json(port.plan.row)},
          {"service", port.plan.service},
          {"from", role_text(other_role(port.plan.listens))},
          {"to", role_text(port.plan.listens)},
          {"state", port.checked ? std::string{state_name(port.fact.state)} : "unchecked"},
          {"detail", port.fact.detail}};
}

}  // namespace

PortVerdict verdict(const CheckedPort& port) {
  if (!port.checked || port.fact.state == PortState::Open) return PortVerdict::Fine;
  const bool foreign = port.fact.state == PortState::Foreign;
  if (port.plan.row == kDataRow && (foreign || !port.taken_by.empty())) return PortVerdict::Fine;
  const bool silent = port.fact.state == PortState::Silent && !port.taken_by.empty();
  return foreign || silent ? PortVerdict::Unproven : PortVerdict::Closed;
}

std::vector<Finding> conclude_data_range(const firewall::PortRange& data, unsigned jobs) {
  const unsigned wanted = std::max(kLeastDataPorts, jobs * kDataPortsPerJob);
  if (data.size() >= wanted) return {};
  return {{"data_range_small",
           data.size() < jobs * kDataPortsPerJob
               ? fmt::format("the data range has fewer than 2 ports for each of {} jobs", jobs)
               : "the data range has fewer than 25 ports",
           fmt::format("{} has {} port{}", data.to_text(), data.size(), data.size() == 1 ? "" : "s"),
           fmt::format(
               "give Backup Exec (Network and Security) and the firewall a range of at least {} ports; jobs "
               "that find no port fail with 0xE0000F25 (V-79-57344-3877)",
               wanted)}};
}

std::vector<Finding> conclude_backup_exec(const BackupExecFacts& facts) {
  return Conclusions{facts}.run();
}

nlohmann::json to_json(const BackupExecReport& report) {
  nlohmann::json ports = nlohmann::json::array();
  for (const CheckedPort& port : report.facts.ports) ports.push_back(to_json(port));
  return {{"healthy", report.healthy()},
          {"host", report.facts.host},
          {"as", role_text(report.facts.here)},
          {"ports", std::move(ports)},
          {"findings", to_json(report.findings)}};
}

std::string report_text(const BackupExecReport& report) {
  if (!report.healthy()) return findings_text(report.findings);
  std::vector<std::uint16_t> open;
  for (const CheckedPort& port : report.facts.ports) {
    if (port.checked && port.fact.state == PortState::Open) open.push_back(port.plan.port);
  }
  return fmt::format("healthy: bytes passed both ways between here and {} on TCP {}\n", report.facts.host,
                     ports_text(open));
}

}  // namespace culvert
