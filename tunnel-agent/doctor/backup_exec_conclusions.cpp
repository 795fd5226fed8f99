#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "tunnel-agent/doctor/backup_exec_errors.hpp"
#include "tunnel-agent/doctor/backup_exec_facts.hpp"
#include "tunnel-agent/doctor/backup_exec_reach.hpp"

namespace culvert {

namespace {

std::string_view how_closed(PortState state) {
  switch (state) {
    case PortState::Dropped:
      return "silently dropped";
    case PortState::Silent:
      return "connected but passes no bytes";
    case PortState::Unreachable:
      return "out of reach: there is no route";
    case PortState::TurnedBack:
      return "turned back by a router or firewall";
    case PortState::Prohibited:
      return "refused by a firewall on the way";
    case PortState::Forbidden:
      return "forbidden by the own firewall of the machine that dials";
    case PortState::Absent:
      return "out of reach: nothing answers at that address in the local network";
    case PortState::Open:
    case PortState::Refused:
    case PortState::Foreign:
      break;
  }
  return "closed";
}

class Conclusions {
 public:
  explicit Conclusions(const BackupExecFacts& facts)
      : facts_(facts), some_data_(some_data_open(facts.ports)) {}

  std::vector<Finding> run() {
    if (!facts_.resolve_error.empty()) {
      return {{"name_unresolved", fmt::format("the name {} does not resolve", facts_.host),
               facts_.resolve_error,
               "check the name and this machine's DNS; Backup Exec would say 0xE0000F25 (V-79-57344-3877)"}};
    }
    findings_ = conclude_data_range(facts_.data, facts_.jobs);
    std::vector<Finding> obstacles = conclude_reach(dialled_from_here(), facts_.host);
    for (Finding& obstacle : obstacles) findings_.push_back(std::move(obstacle));
    if (!obstacles.empty() || nobody_listens()) return std::move(findings_);
    for (const CheckedPort& port : facts_.ports) {
      if (port.plan.row == kControlRow) conclude_fixed(port);
    }
    conclude_data();
    for (const CheckedPort& port : facts_.ports) {
      const bool row_of_its_own = port.plan.row == kControlRow || port.plan.row == kDataRow;
      if (!row_of_its_own && !port.plan.for_console) conclude_fixed(port);
    }
    conclude_console();
    conclude_missing();
    conclude_other_direction();
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

  Ports dialled_from_here() const {
    return pick([this](const CheckedPort& port) { return port.plan.listens != facts_.here; });
  }

  /// What is not refused there belongs to other programs, such as Backup Exec's agent on its control port.
  bool nobody_listens() {
    if (facts_.other_end_answers) return false;
    const Ports there = dialled_from_here();
    std::size_t refused = 0;
    std::size_t foreign = 0;
    for (const CheckedPort* port : there) {
      const PortState state = port->fact.state;
      if (state == PortState::Refused) ++refused;
      if (state == PortState::Open || state == PortState::Silent || state == PortState::Foreign) ++foreign;
    }
    if (refused == 0 || refused + foreign < there.size()) return false;
    findings_.push_back({"other_end_not_listening",
                         fmt::format("{} refuses every port{}", facts_.host,
                                     foreign == 0 ? "" : " that no other program has there"),
                         seen(there),
                         fmt::format("start `culvert-agent doctor --listen` on {} with the same --ports and "
                                     "--data-range; if it runs there already, {}",
                                     facts_.host,
                                     foreign == 0 ? "a firewall on the way rejects all of them"
                                                  : "control works but data is blocked: a firewall on the "
                                                    "way rejects the ports that are refused")});
    return true;
  }

  Ports judged(PortVerdict wanted, const Ports& ports) const {
    Ports picked;
    for (const CheckedPort* port : ports) {
      if (verdict(*port, some_data_) == wanted) picked.push_back(port);
    }
    return picked;
  }

  void conclude_data() {
    const Ports data =
        pick([](const CheckedPort& port) { return port.plan.row == kDataRow && !port.missing; });
    const Ports closed = judged(PortVerdict::Closed, data);
    if (!closed.empty()) return conclude_closed_data(data.size(), closed);
    const Ports unproven = judged(PortVerdict::Unproven, data);
    if (unproven.empty()) return;
    findings_.push_back(
        {"port_unproven",
         some_data_ ? fmt::format("whether data ports {} are open cannot be proved", numbers(unproven))
                    : "whether any data port is open cannot be proved",
         seen(unproven),
         "stop the program that has them for the time of this check, at the end that listens, or give Backup "
         "Exec and both ends of this check another data range"});
  }

  void conclude_closed_data(std::size_t count, const Ports& closed) {
    const Ports control = pick([](const CheckedPort& port) { return port.plan.row == kControlRow; });
    const bool control_works = std::any_of(control.begin(), control.end(), [](const CheckedPort* port) {
      return port->fact.state == PortState::Open;
    });
    const std::string advice = fmt::format(
        "open TCP {} from the media server to the remote server in every firewall between, those of both "
        "machines "
        "included; it has to be the range that Network and Security of the Backup Exec server names. While "
        "it is closed, {}{}",
        facts_.data.to_text(), control_works ? "browsing works in Backup Exec, but " : "",
        symptom_of_row(kDataRow));
    if (control_works && some_data_) {
      findings_.push_back(
          {"data_partly_blocked", "control works but a part of the data range is blocked",
           fmt::format("{} of {} data ports pass no bytes: {}", closed.size(), count, seen(closed)), advice});
    } else if (control_works) {
      findings_.push_back(
          {"data_blocked", "control works but data is blocked",
           fmt::format("TCP {} to the remote server passes bytes both ways, none of {} data ports does: {}",
                       numbers(control), count, seen(closed)),
           advice});
    } else {
      findings_.push_back({"backup_exec_port_closed",
                           fmt::format("data ports {} are blocked", numbers(closed)), seen(closed), advice});
    }
  }

  void conclude_fixed(const CheckedPort& port) {
    const PortVerdict judgement = verdict(port, some_data_);
    if (port.missing || judgement == PortVerdict::Fine) return;
    const std::string where = fmt::format("TCP {} ({}) from the {} to the {}", port.fact.port,
                                          port.plan.service, from(port), to(port));
    if (judgement == PortVerdict::Unproven) {
      findings_.push_back(
          {"port_unproven", fmt::format("whether {} is open cannot be proved", where), seen({&port}),
           "stop the program that has the port for the time of this check, at the end that listens"});
      return;
    }
    if (port.fact.state == PortState::Prohibited) {
      findings_.push_back(
          {"port_prohibited", fmt::format("a firewall on the way refuses {}", where), seen({&port}),
           fmt::format("ask the owner of the firewall that answered to allow it. While it is closed, {}",
                       symptom_of_row(port.plan.row))});
      return;
    }
    findings_.push_back(
        {"backup_exec_port_closed", fmt::format("{} is {}", where, how_closed(port.fact.state)),
         seen({&port}),
         fmt::format("open it in every firewall between, those of both machines and of antivirus programs "
                     "included. While it is closed, {}",
                     symptom_of_row(port.plan.row))});
  }

  /// They are dialled from the other end because a console may run there; mostly none does.
  void conclude_console() {
    const Ports console =
        pick([](const CheckedPort& port) { return port.plan.for_console && !port.missing; });
    if (console.empty()) return;
    const Ports closed = judged(PortVerdict::Closed, console);
    const Ports unproven = judged(PortVerdict::Unproven, console);
    const auto where = [this](const Ports& ports) {
      return fmt::format("TCP {} (for a remote administration console) from the {} to the {}", numbers(ports),
                         from(*ports.front()), to(*ports.front()));
    };
    const std::string advice = fmt::format(
        "needed only where a remote administration console runs on that machine, the {}: while it is closed, "
        "{} from there",
        from(*console.front()), symptom_of_row(console.front()->plan.row));
    if (!closed.empty()) {
      findings_.push_back({"backup_exec_port_closed", fmt::format("{} is closed", where(closed)),
                           seen(closed), advice, /*note=*/true});
    }
    if (!unproven.empty()) {
      findings_.push_back({"port_unproven",
                           fmt::format("whether {} is open cannot be proved", where(unproven)),
                           seen(unproven), advice, /*note=*/true});
    }
  }

  void conclude_missing() {
    const Ports missing = pick([](const CheckedPort& port) { return port.missing; });
    if (missing.empty()) return;
    findings_.push_back({"other_end_not_listening",
                         fmt::format("{} does not listen on all ports", facts_.host),
                         fmt::format("it was not told of TCP {}", numbers(missing)),
                         "start both ends with the same --ports and --data-range"});
  }

  void conclude_other_direction() {
    if (facts_.back_error.empty()) return;
    findings_.push_back(
        {"other_direction_unchecked", fmt::format("the ports that {} dials were not checked", facts_.host),
         facts_.back_error,
         fmt::format("see that `culvert-agent doctor --listen` runs there, mend the other findings first, or "
                     "check from there: `culvert-agent doctor --listen` here, and "
                     "`culvert-agent doctor --backup-exec THIS-MACHINE --as {}` there",
                     facts_.here == BackupExecRole::MediaServer ? "remote-server" : "media-server")});
  }

  const BackupExecFacts& facts_;
  const bool some_data_;  ///< Of the data range something is open.
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

PortVerdict verdict(const CheckedPort& port, bool some_data) {
  if (!port.checked) return PortVerdict::Fine;
  const bool data = port.plan.row == kDataRow;
  const bool taken = !port.taken_by.empty();
  switch (port.fact.state) {
    case PortState::Open:
      return PortVerdict::Fine;
    case PortState::Silent:
      if (!taken) return PortVerdict::Closed;
      [[fallthrough]];
    case PortState::Foreign:  // It connects, and the ports beside it show whether bytes pass.
      return data && some_data ? PortVerdict::Fine : PortVerdict::Unproven;
    case PortState::Refused:  // By a firewall, or by a program that listens on another address only.
      return data && taken ? PortVerdict::Unproven : PortVerdict::Closed;
    case PortState::Dropped:
    case PortState::Unreachable:
    case PortState::TurnedBack:
    case PortState::Prohibited:
    case PortState::Forbidden:
    case PortState::Absent:
      break;
  }
  return PortVerdict::Closed;
}

bool some_data_open(const std::vector<CheckedPort>& ports) {
  return std::any_of(ports.begin(), ports.end(), [](const CheckedPort& port) {
    return port.checked && port.plan.row == kDataRow && port.fact.state == PortState::Open;
  });
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
  const std::string said = findings_text(report.findings);
  if (!report.healthy()) return said;
  std::vector<std::uint16_t> open;
  for (const CheckedPort& port : report.facts.ports) {
    if (port.checked && port.fact.state == PortState::Open) open.push_back(port.plan.port);
  }
  return said + fmt::format("healthy: bytes passed both ways between here and {} on TCP {}\n",
                            report.facts.host, ports_text(open));
}

}  // namespace culvert
