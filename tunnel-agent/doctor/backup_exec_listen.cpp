// The listening end: holds the ports, answers one check, and says what it saw of it.
#include <fmt/format.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <csignal>

#include "tunnel-agent/doctor/backup_exec_check.hpp"
#include "tunnel-agent/doctor/port_answerer.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

namespace {

/// Becomes readable on SIGINT and SIGTERM, which from now on do nothing else.
UniqueFd watch_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return UniqueFd{::signalfd(-1, &signals, SFD_CLOEXEC)};
}

bool holds(const std::vector<std::uint16_t>& ports, std::uint16_t port) {
  return std::ranges::find(ports, port) != ports.end();
}

/// The ports of a row that nobody dialled, where not one of the row was: whoever says that a check is done
/// has done none. Ports that others have here, and those of which the other end speaks, are left out.
std::vector<std::uint16_t> never_dialled(const char* row, const PortPlan& plan, const EndReport& end,
                                         const ListenReport& seen) {
  std::vector<std::uint16_t> silent;
  for (const PlannedPort& entry : plan.ports) {
    if (entry.row != row) continue;
    if (holds(seen.answered, entry.port) || holds(seen.passed_back, entry.port)) return {};
    const bool told =
        holds(end.closed, entry.port) || holds(end.unproven, entry.port) || holds(end.unchecked, entry.port);
    if (!told && !seen.taken.contains(entry.port)) silent.push_back(entry.port);
  }
  return silent;
}

/// One finding for all ports that the same program has.
std::vector<Finding> conclude_unproven(const std::vector<std::uint16_t>& unproven,
                                       const std::map<std::uint16_t, std::string>& taken) {
  std::map<std::string, std::vector<std::uint16_t>> by_holder;
  for (const std::uint16_t port : unproven) {
    const auto holder = taken.find(port);
    by_holder[holder == taken.end() ? "at one of the ends another program" : holder->second].push_back(port);
  }
  std::vector<Finding> findings;
  for (const auto& [holder, ports] : by_holder) {
    findings.push_back(
        {"port_unproven", fmt::format("whether TCP {} is open was not proved", ports_text(ports)),
         fmt::format("{} has it", holder),
         "stop the program that has the port for the time of this check, at the end that listens"});
  }
  return findings;
}

std::vector<Finding> conclude(const PortAnswerer& answerer, const PortPlan& plan, const ListenReport& seen) {
  if (!answerer.was_ended()) {
    const bool came = !answerer.connected().empty();
    return {{"nobody_came", came ? "no check was completed" : "no check came",
             came ? fmt::format("connections came to TCP {}",
                                ports_text({answerer.connected().begin(), answerer.connected().end()}))
                  : "not one connection came to the ports held here",
             "run `culvert-agent doctor --backup-exec THIS-MACHINE` on the other machine while this one "
             "waits; if it "
             "was run, a firewall is between"}};
  }
  return conclude_listening(answerer.end(), plan, seen);
}

}  // namespace

std::vector<Finding> conclude_listening(const EndReport& end, const PortPlan& plan,
                                        const ListenReport& seen) {
  std::vector<Finding> findings;
  if (!end.closed.empty()) {
    findings.push_back(
        {"backup_exec_port_closed", fmt::format("the other end found TCP {} closed", ports_text(end.closed)),
         fmt::format("bytes passed here on {}", seen.answered.empty()
                                                    ? std::string{"no port"}
                                                    : fmt::format("TCP {}", ports_text(seen.answered))),
         "read what the other end says about each: it names the direction and what Backup Exec would say"});
  }
  for (Finding& finding : conclude_unproven(end.unproven, seen.taken)) findings.push_back(std::move(finding));
  if (!end.unchecked.empty()) {
    findings.push_back({"other_direction_unchecked",
                        fmt::format("TCP {} was not dialled", ports_text(end.unchecked)),
                        "the other end says so", "read what the other end says, mend that, and check again"});
  }
  std::vector<std::uint16_t> silent = never_dialled(kControlRow, plan, end, seen);
  for (const std::uint16_t port : never_dialled(kDataRow, plan, end, seen)) silent.push_back(port);
  if (!silent.empty()) {
    findings.push_back(
        {"other_direction_unchecked", fmt::format("TCP {} was not dialled", ports_text(silent)),
         "the other end said that it is done, and no bytes passed there",
         "run `culvert-agent doctor --backup-exec THIS-MACHINE` on the other machine once more, with "
         "the same --ports and --data-range"});
  }
  return findings;
}

Result<ListenReport> listen_for_check(const DoctorOptions& options, const Progress& progress) {
  const auto plan = make_port_plan(options.ports, options.data_range);
  if (!plan) return plan.error();
  raise_file_limit();
  const UniqueFd stop = watch_signals();
  PortAnswerer answerer{plan->numbers()};
  if (answerer.held().empty()) {
    return Error{Errc::PortInUse, fmt::format("not one of TCP {} can be opened here: {}",
                                              ports_text(plan->numbers()), answerer.taken().begin()->second)};
  }
  for (const auto& [port, holder] : answerer.taken())
    progress(fmt::format("port {} is left alone: {}", port, holder));
  progress(fmt::format(
      "waiting for {} s on {} ports ({}); run `culvert-agent doctor --backup-exec THIS-MACHINE` on the "
      "other machine, with the same --ports and --data-range",
      options.listen_for, answerer.held().size(), ports_text(answerer.held())));
  answerer.run(std::chrono::steady_clock::now() + std::chrono::seconds{options.listen_for}, stop.value());
  ListenReport report;
  report.held = answerer.held();
  report.taken = answerer.taken();
  report.answered.assign(answerer.answered().begin(), answerer.answered().end());
  report.passed_back.assign(answerer.passed_back().begin(), answerer.passed_back().end());
  report.finished = answerer.was_ended();
  report.findings = conclude(answerer, *plan, report);
  for (Finding& finding : conclude_data_range(plan->data, options.jobs))
    report.findings.push_back(std::move(finding));
  return report;
}

nlohmann::json to_json(const ListenReport& report) {
  nlohmann::json taken = nlohmann::json::object();
  for (const auto& [port, holder] : report.taken) taken[std::to_string(port)] = holder;
  return {{"healthy", report.healthy()},         {"held", report.held},
          {"taken", std::move(taken)},           {"answered", report.answered},
          {"passed_back", report.passed_back},   {"finished", report.finished},
          {"findings", to_json(report.findings)}};
}

std::string report_text(const ListenReport& report) {
  const std::string said = findings_text(report.findings);
  if (!report.healthy()) return said;
  return said + fmt::format("healthy: bytes passed both ways on TCP {}{}\n", ports_text(report.answered),
                            report.passed_back.empty()
                                ? ""
                                : ", and from here to TCP " + ports_text(report.passed_back));
}

}  // namespace culvert
