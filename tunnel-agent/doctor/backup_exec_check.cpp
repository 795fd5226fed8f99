// In this order: resolve, dial every port that the other end listens on, ask it to dial ours, say the end.
#include "tunnel-agent/doctor/backup_exec_check.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <thread>

#include "tunnel-agent/doctor/port_answerer.hpp"
#include "tunnel-agent/doctor/port_talk.hpp"
#include "tunnel-core/daemon/process.hpp"

namespace culvert {

namespace {

constexpr Duration kResolve = 2500ms;
constexpr Duration kDial = 2500ms;  // The kernel repeats an unanswered SYN after 1 s.
constexpr Duration kAnswer = 1s;
constexpr Duration kDialledBack = 4s;

Instant in(Duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

/// Our own ports, answered on a thread of their own as long as this lives.
class HeldPorts {
 public:
  explicit HeldPorts(const std::vector<std::uint16_t>& ports)
      : answerer_(ports),
        stop_(::eventfd(0, EFD_CLOEXEC)),
        thread_([this] { answerer_.run(in(kDialledBack + kAnswer), stop_.value()); }) {}
  ~HeldPorts() {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(stop_.value(), &one, sizeof one));
    thread_.join();
  }

  const std::map<std::uint16_t, std::string>& taken() const { return answerer_.taken(); }

 private:
  PortAnswerer answerer_;
  UniqueFd stop_;
  std::thread thread_;  ///< Last: uses the others.
};

/// How far a port was come to, for choosing between addresses.
std::size_t way_made(PortState state) {
  switch (state) {
    case PortState::Open:
      return 1000;
    case PortState::Refused:
    case PortState::Dropped:
    case PortState::Silent:
    case PortState::Foreign:
    case PortState::Prohibited:
      return 1;
    case PortState::Unreachable:
    case PortState::TurnedBack:
    case PortState::Forbidden:
    case PortState::Absent:
      break;
  }
  return 0;
}

class Check {
 public:
  Check(const DoctorOptions& options, std::string host, PortPlan plan, const Progress& progress)
      : plan_(std::move(plan)), progress_(progress) {
    facts_.host = std::move(host);
    facts_.jobs = options.jobs;
    facts_.data = plan_.data;
    facts_.here = options.as == "remote-server" ? BackupExecRole::RemoteServer : BackupExecRole::MediaServer;
    for (const PlannedPort& port : plan_.ports) {
      facts_.ports.push_back({port, false, {}, {}, false});
      facts_.ports.back().fact.port = port.port;
    }
  }

  BackupExecFacts run() {
    progress_("looking up " + facts_.host);
    const Resolution found = resolve_name(facts_.host, 0, kResolve);
    facts_.resolve_error = found.error;
    if (found.addresses.empty()) return std::move(facts_);
    const auto there = plan_.listened_by(other_role(facts_.here));
    progress_(fmt::format("dialling {} ports of {}", there.size(), facts_.host));
    PortProbe probe = dial(found.addresses, there);
    for (const PortFact& fact : probe.facts) note(fact);
    facts_.other_end_answers = static_cast<bool>(probe.open);
    if (probe.open) learn(probe.open.value());
    dial_back(probe);
    if (probe.open) say_end(probe.open.value());
    return std::move(facts_);
  }

 private:
  CheckedPort& at(std::uint16_t port) {
    return *std::find_if(facts_.ports.begin(), facts_.ports.end(),
                         [port](const CheckedPort& entry) { return entry.plan.port == port; });
  }

  void note(const PortFact& fact) {
    CheckedPort& port = at(fact.port);
    port.checked = true;
    port.fact = fact;
  }

  /// One address of each family, at the same time: the one that comes further is the machine.
  PortProbe dial(const std::vector<ProbeAddress>& addresses, const std::vector<std::uint16_t>& ports) {
    std::vector<std::future<PortProbe>> probes;
    for (const int family : {AF_INET6, AF_INET}) {
      const auto first =
          std::find_if(addresses.begin(), addresses.end(),
                       [family](const ProbeAddress& address) { return address.storage.ss_family == family; });
      if (first == addresses.end()) continue;
      probes.push_back(std::async(std::launch::async, [this, address = *first, &ports] {
        return probe_ports(address, ports, token_, kDial);
      }));
    }
    PortProbe best;
    std::size_t most = 0;
    for (auto& future : probes) {
      PortProbe probe = future.get();
      std::size_t weight = 1;
      for (const PortFact& fact : probe.facts) weight += way_made(fact.state);
      if (weight > most) best = std::move(probe);
      most = std::max(most, weight);
    }
    return best;
  }

  /// What the other end holds, and what somebody else has there.
  void learn(int fd) {
    const auto told = ask_line(fd, {{"token", token_}}, in(kAnswer));
    if (!told) return;
    const auto held = ports_in(*told, "held");
    const auto taken = ports_in(*told, "taken");
    for (CheckedPort& port : facts_.ports) {
      if (!port.checked) continue;
      if (std::ranges::count(taken, port.plan.port) != 0) port.taken_by = "another program";
      port.missing = port.taken_by.empty() && std::ranges::count(held, port.plan.port) == 0 &&
                     port.fact.state != PortState::Open;
    }
  }

  void dial_back(const PortProbe& probe) {
    const auto ours = plan_.listened_by(facts_.here);
    if (ours.empty()) return;
    if (!probe.open) {
      facts_.back_error = "no port there answers this check, so that it could not be asked to dial back";
      return;
    }
    progress_(fmt::format("having {} ports of this machine dialled from {}", ours.size(), facts_.host));
    const HeldPorts held{ours};
    const auto told = ask_line(probe.open.value(), {{"dial", ours}, {"token", token_}}, in(kDialledBack));
    if (!told || !told->contains("dialled") || !told->at("dialled").is_array()) {
      facts_.back_error = "it was asked to dial back and did not tell what came of it";
      return;
    }
    for (const nlohmann::json& entry : told->at("dialled")) {
      const std::uint64_t number =
          entry.is_object() && entry.contains("port") && entry["port"].is_number_unsigned()
              ? entry["port"].get<std::uint64_t>()
              : 0;
      if (std::ranges::count(ours, number) == 0) continue;
      note({static_cast<std::uint16_t>(number), port_state_of(text_in(entry, "state")),
            text_in(entry, "detail")});
    }
    for (const auto& [port, holder] : held.taken()) at(port).taken_by = holder;
  }

  void say_end(int fd) {
    std::vector<std::uint16_t> closed;
    std::vector<std::uint16_t> unproven;
    std::vector<std::uint16_t> unchecked;
    const bool some_data = some_data_open(facts_.ports);
    for (const CheckedPort& port : facts_.ports) {
      if (!port.checked) unchecked.push_back(port.plan.port);
      if (port.plan.for_console) continue;  // A note here, and no fault at the other end either.
      const PortVerdict judged = verdict(port, some_data);
      if (judged == PortVerdict::Closed) closed.push_back(port.plan.port);
      if (judged == PortVerdict::Unproven) unproven.push_back(port.plan.port);
    }
    static_cast<void>(
        ask_line(fd, {{"end", true}, {"closed", closed}, {"unproven", unproven}, {"unchecked", unchecked}},
                 in(kAnswer)));
  }

  const PortPlan plan_;
  const Progress& progress_;
  const std::string token_ = to_hex(random_bytes(16));
  BackupExecFacts facts_;
};

}  // namespace

Result<BackupExecReport> check_backup_exec(const DoctorOptions& options, const Progress& progress) {
  auto host = host_alone(options.backup_exec);
  if (!host) return std::move(host).error();
  auto plan = make_port_plan(options.ports, options.data_range);
  if (!plan) return std::move(plan).error();
  raise_file_limit();
  BackupExecReport report;
  report.facts = Check{options, std::move(*host), std::move(*plan), progress}.run();
  report.findings = conclude_backup_exec(report.facts);
  return report;
}

}  // namespace culvert
