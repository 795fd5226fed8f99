// Backup Exec's ports: which are checked, what is concluded, what its numbers mean. No network.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tunnel-agent/doctor/backup_exec_check.hpp"
#include "tunnel-agent/doctor/backup_exec_errors.hpp"
#include "tunnel-agent/doctor/backup_exec_facts.hpp"
#include "tunnel-agent/doctor/port_talk.hpp"

using namespace culvert;

namespace {

using Ids = std::vector<std::string>;

BackupExecFacts all_open(const std::string& data = "20000-20024") {
  const auto plan = make_port_plan("", data);
  REQUIRE(plan);
  BackupExecFacts facts;
  facts.host = "files.example";
  facts.data = plan->data;
  facts.other_end_answers = true;
  for (const PlannedPort& port : plan->ports)
    facts.ports.push_back({port, true, {port.port, PortState::Open, "bytes passed both ways"}, {}, false});
  return facts;
}

void set(BackupExecFacts& facts, std::uint16_t first, std::uint16_t last, PortState state) {
  for (CheckedPort& port : facts.ports) {
    if (port.plan.port < first || port.plan.port > last) continue;
    port.fact.state = state;
    port.fact.detail = std::string{state_name(state)};
  }
}

/// Not a byte comes from there, and not a word about it.
BackupExecFacts nothing_answers() {
  BackupExecFacts facts = all_open();
  set(facts, 1, 65535, PortState::Dropped);
  for (CheckedPort& port : facts.ports) port.checked = port.plan.listens != facts.here;
  facts.other_end_answers = false;
  facts.back_error = "no port there answers this check";
  return facts;
}

/// At the listening end another program has these ports.
void take(BackupExecFacts& facts, std::uint16_t first, std::uint16_t last) {
  for (CheckedPort& port : facts.ports) {
    if (port.plan.port >= first && port.plan.port <= last) port.taken_by = "another program";
  }
}

/// What the listening end saw, with the ports of all_open().
std::vector<Finding> listening(const EndReport& end, std::vector<std::uint16_t> answered,
                               std::vector<std::uint16_t> passed_back = {},
                               std::map<std::uint16_t, std::string> taken = {}) {
  const auto plan = make_port_plan("", "20000-20024");
  REQUIRE(plan);
  ListenReport seen;
  seen.answered = std::move(answered);
  seen.passed_back = std::move(passed_back);
  seen.taken = std::move(taken);
  return conclude_listening(end, *plan, seen);
}

Ids ids(const BackupExecFacts& facts) {
  Ids result;
  for (const Finding& finding : conclude_backup_exec(facts)) result.push_back(finding.id);
  return result;
}

}  // namespace

TEST_CASE("Port plan: each port stands once, with the end that listens on it", "[doctor]") {
  const auto plan = make_port_plan("", "9990-10020");
  REQUIRE(plan);
  REQUIRE(plan->numbers().size() == 31 + 5);
  REQUIRE(plan->listened_by(BackupExecRole::MediaServer) ==
          std::vector<std::uint16_t>{3527, 6101, 6106, 10082, 10102});
  for (const PlannedPort& port : plan->ports) {
    CHECK((port.port != 10000 || port.row == kControlRow));
    CHECK(port.for_console == (port.port == 3527 || port.port == 6106));
  }
}

TEST_CASE("Port plan: a wide range is checked at 128 ports that both ends choose alike", "[doctor]") {
  const auto spread = spread_over({1024, 65535}, kMostDataPorts);
  REQUIRE(spread.size() == 128);
  REQUIRE(spread.front() == 1024);
  REQUIRE(spread.back() == 65535);
  REQUIRE(std::is_sorted(spread.begin(), spread.end()));
  REQUIRE(spread_over({7, 7}, 128) == std::vector<std::uint16_t>{7});
}

TEST_CASE("Port plan: the one port that the catalogue does not know is the control port that was moved",
          "[doctor]") {
  const auto control_of = [](const char* ports) {
    std::vector<std::uint16_t> found;
    const auto plan = make_port_plan(ports, "20000-20024");
    REQUIRE(plan);
    for (const PlannedPort& port : plan->ports) {
      if (port.row == kControlRow) found.push_back(port.port);
    }
    return found;
  };
  CHECK(control_of("9999,6101,3527") == std::vector<std::uint16_t>{9999});
  CHECK(control_of("9999,10000,6101") == std::vector<std::uint16_t>{10000});
  CHECK(control_of("9998,9999,6101").empty());
  CHECK(control_of("6101").empty());
}

TEST_CASE("Port plan: many ports are not listed one by one", "[doctor]") {
  const std::string text = ports_text(spread_over({1024, 65535}, kMostDataPorts));
  CHECK(text.size() < 80);
  CHECK(text.starts_with("1024, "));
  CHECK(text.ends_with("65535 (128 ports)"));
  CHECK(ports_text({80, 443, 444}) == "80, 443-444");
}

TEST_CASE("Port plan: what is no port, too many or several ranges is refused", "[doctor]") {
  for (const auto& [ports, data] : std::vector<std::pair<std::string, std::string>>{
           {"x", ""}, {"0", ""}, {"1-65", ""}, {"80,80", ""}, {"", "9-1"}, {"", "1-2,4-5"}, {"", "1-65536"}})
    CHECK(make_port_plan(ports, data).error().code() == Errc::UsageInvalid);
}

TEST_CASE("Backup Exec: open ports give no finding", "[doctor]") {
  REQUIRE(conclude_backup_exec(all_open()).empty());
}

TEST_CASE("Backup Exec: control without data is said in exactly those words", "[doctor]") {
  BackupExecFacts facts = all_open();
  set(facts, 20000, 20024, PortState::Dropped);
  const auto findings = conclude_backup_exec(facts);
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().cause == "control works but data is blocked");
  CHECK(findings.front().advice.find("0xE0000F25 (V-79-57344-3877)") != std::string::npos);
  set(facts, 20000, 20000, PortState::Open);
  CHECK(ids(facts) == Ids{"data_partly_blocked"});
  set(facts, 10000, 10000, PortState::Dropped);
  CHECK(ids(facts) == Ids{"backup_exec_port_closed", "backup_exec_port_closed"});
}

TEST_CASE("Backup Exec: a port that connects and carries nothing is not open", "[doctor]") {
  BackupExecFacts facts = all_open();
  set(facts, 6101, 6101, PortState::Silent);
  CHECK(ids(facts) == Ids{"backup_exec_port_closed"});
  for (CheckedPort& port : facts.ports) port.taken_by = port.plan.port == 6101 ? "process 7 (benetns)" : "";
  CHECK(ids(facts) == Ids{"port_unproven"});
  set(facts, 6101, 6101, PortState::Foreign);
  CHECK(ids(facts) == Ids{"port_unproven"});
}

TEST_CASE("Backup Exec: data ports that connect to another program are passed over while others are open",
          "[doctor]") {
  BackupExecFacts facts = all_open();
  take(facts, 20003, 20005);
  set(facts, 20003, 20003, PortState::Silent);
  set(facts, 20004, 20005, PortState::Foreign);
  CHECK(ids(facts).empty());
  set(facts, 20003, 20003, PortState::Refused);
  CHECK(ids(facts) == Ids{"port_unproven"});
  set(facts, 20003, 20003, PortState::Dropped);
  CHECK(ids(facts) == Ids{"data_partly_blocked"});
}

TEST_CASE("Backup Exec: a data range of which other programs have every port is not healthy", "[doctor]") {
  BackupExecFacts facts = all_open();
  take(facts, 20000, 20024);
  for (const PortState state : {PortState::Silent, PortState::Foreign, PortState::Refused}) {
    set(facts, 20000, 20024, state);
    CHECK(ids(facts) == Ids{"port_unproven"});
  }
  set(facts, 20000, 20024, PortState::Dropped);
  CHECK(ids(facts) == Ids{"data_blocked"});
}

TEST_CASE("Backup Exec: its agent on the control port is not the other end of a check", "[doctor]") {
  BackupExecFacts facts = all_open();
  facts.other_end_answers = false;
  facts.back_error = "no port there answers this check";
  set(facts, 20000, 20024, PortState::Refused);
  CHECK(ids(facts) == Ids{"other_end_not_listening"});
  set(facts, 10000, 10000, PortState::Foreign);
  CHECK(ids(facts) == Ids{"other_end_not_listening"});
  set(facts, 10000, 10000, PortState::Open);
  set(facts, 20000, 20024, PortState::Dropped);
  CHECK(ids(facts) == Ids{"data_blocked", "other_direction_unchecked"});
}

TEST_CASE("Backup Exec: ports of a remote administration console are worth a note and no fault", "[doctor]") {
  BackupExecFacts facts = all_open();
  set(facts, 3527, 3527, PortState::Dropped);
  set(facts, 6106, 6106, PortState::Refused);
  auto findings = conclude_backup_exec(facts);
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().id == "backup_exec_port_closed");
  CHECK(findings.front().cause.find("TCP 3527, 6106 ") != std::string::npos);
  CHECK(findings.front().advice.starts_with(
      "needed only where a remote administration console runs on that machine"));
  CHECK(is_healthy(findings));
  take(facts, 3527, 6106);
  set(facts, 3527, 6106, PortState::Silent);
  set(facts, 6101, 6101, PortState::Open);
  findings = conclude_backup_exec(facts);
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().id == "port_unproven");
  CHECK(is_healthy(findings));
  const BackupExecReport report{facts, findings};
  CHECK(report_text(report).starts_with("note port_unproven: "));
  CHECK(report_text(report).find("\nhealthy: ") != std::string::npos);
}

TEST_CASE("Backup Exec: what keeps every packet away is said once, and not as a closed port", "[doctor]") {
  for (const auto& [state, id] :
       std::vector<std::pair<PortState, std::string>>{{PortState::Unreachable, "no_route"},
                                                      {PortState::TurnedBack, "no_route"},
                                                      {PortState::Prohibited, "port_prohibited"},
                                                      {PortState::Forbidden, "port_forbidden_here"},
                                                      {PortState::Absent, "host_absent"}}) {
    BackupExecFacts facts = nothing_answers();
    set(facts, 1, 65535, state);
    CHECK(ids(facts) == Ids{id});
  }
}

TEST_CASE("Backup Exec: a few ICMP answers of a router stand for the ports that got none", "[doctor]") {
  for (const auto& [state, id] : std::vector<std::pair<PortState, std::string>>{
           {PortState::TurnedBack, "no_route"}, {PortState::Prohibited, "port_prohibited"}}) {
    BackupExecFacts facts = nothing_answers();
    set(facts, 20000, 20003, state);
    CHECK(ids(facts) == Ids{id});
  }
}

TEST_CASE("Backup Exec: what is said of one port does not hide what is wrong with the others", "[doctor]") {
  const std::string closed = "backup_exec_port_closed";
  for (const PortState state : {PortState::Forbidden, PortState::Unreachable, PortState::TurnedBack}) {
    BackupExecFacts facts = nothing_answers();
    set(facts, 10000, 10000, state);
    CHECK(ids(facts) == Ids{closed, closed, "other_direction_unchecked"});
  }
  BackupExecFacts facts = nothing_answers();
  set(facts, 10000, 10000, PortState::Prohibited);
  CHECK(ids(facts) == Ids{"port_prohibited", closed, "other_direction_unchecked"});
}

TEST_CASE("Backup Exec: a firewall here that bars one port is said beside what keeps the others away",
          "[doctor]") {
  BackupExecFacts facts = nothing_answers();
  set(facts, 10000, 10000, PortState::Forbidden);
  set(facts, 20000, 20003, PortState::Prohibited);
  const auto findings = conclude_backup_exec(facts);
  REQUIRE(findings.size() == 2);
  CHECK(findings.front().cause == "this machine's own firewall forbids TCP 10000 of files.example");
  CHECK(findings.back().cause == "a firewall on the way refuses files.example");
  set(facts, 20000, 20024, PortState::Absent);
  CHECK(ids(facts) == Ids{"port_forbidden_here", "host_absent"});
}

TEST_CASE("Backup Exec: a machine that is not there is not said to drop packets", "[doctor]") {
  BackupExecFacts facts = nothing_answers();
  set(facts, 1, 65535, PortState::Absent);
  const auto findings = conclude_backup_exec(facts);
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().cause == "nothing answers at files.example in the local network");
  CHECK(findings.front().advice.find("switched on") != std::string::npos);
}

TEST_CASE("Backup Exec: the other end is named without a port, and an IPv6 address with brackets or without",
          "[doctor]") {
  for (const char* const host : {"files.example", "192.0.2.7", "::1", "2001:db8::7", "fe80::1%eth0"})
    CHECK(host_alone(host).value() == host);
  CHECK(host_alone("[::1]").value() == "::1");
  for (const char* const text : {"files.example:10000", "192.0.2.7:10000", "[::1]:10000", "[::1", "[]",
                                 "https://files.example", "files.example:"}) {
    const auto refused = host_alone(text);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::UsageInvalid);
    CHECK(refused.error().message().find("give the host alone; the ports are Backup Exec's") !=
          std::string::npos);
  }
}

TEST_CASE("Backup Exec: a firewall that refuses a port by ICMP is not called a missing route", "[doctor]") {
  BackupExecFacts facts = all_open();
  set(facts, 10000, 10000, PortState::Prohibited);
  CHECK(ids(facts) == Ids{"port_prohibited"});
  facts = all_open();
  set(facts, 20000, 20024, PortState::Prohibited);
  CHECK(ids(facts) == Ids{"data_blocked"});
}

TEST_CASE("Backup Exec: refusing everything is nobody who listens", "[doctor]") {
  BackupExecFacts facts = all_open();
  facts.other_end_answers = false;
  set(facts, 1, 65535, PortState::Refused);
  CHECK(ids(facts) == Ids{"other_end_not_listening"});
}

TEST_CASE("Backup Exec: a range is too small below 25 ports and below two for each job", "[doctor]") {
  CHECK(conclude_data_range({20000, 20024}, 12).empty());
  CHECK(conclude_data_range({20000, 20023}, 1).size() == 1);
  CHECK(conclude_data_range({20000, 20024}, 13).size() == 1);
}

TEST_CASE("Backup Exec: an error is known by both of its numbers, in any case", "[doctor]") {
  CHECK(other_form("0xE0000F25") == "V-79-57344-3877");
  CHECK(other_form("V-79-57344-3842") == "0xE0000F02");
  CHECK_FALSE(other_form("0xE0000F2"));
  CHECK_FALSE(other_form("V-79-57344-99999"));
  CHECK(explain_backup_exec(" 0xe0000f25 ")->message == "V-79-57344-3877");
  CHECK(explain_backup_exec("E0000F25")->message == "V-79-57344-3877");
  CHECK(explain_backup_exec("e0000f02")->code == "0xE0000F02");
  CHECK(other_form("E0001234") == "V-79-57344-4660");
  CHECK(explain_backup_exec("v-79-57344-3844")->code == "0xE0000F04");
  CHECK(explain_backup_exec("V-370-59792-00041")->code.empty());
  CHECK(explain_backup_exec("0xE0001234").error().message().find("V-79-57344-4660") != std::string::npos);
  CHECK_FALSE(explain_backup_exec(""));
}

TEST_CASE("Backup Exec: the listening end is healthy only when every port was proved open", "[doctor]") {
  CHECK(listening({}, {10000, 20000}, {}, {{6101, "process 7 (benetns)"}}).empty());
  CHECK(listening({}, {6101}, {10000, 20000}).empty());
  const auto unproven = listening({{}, {6101, 6102}, {}}, {10000, 20000}, {},
                                  {{6101, "process 7 (benetns)"}, {6102, "process 7 (benetns)"}});
  REQUIRE(unproven.size() == 1);
  CHECK(unproven.front().id == "port_unproven");
  CHECK(unproven.front().cause.find("6101-6102") != std::string::npos);
  CHECK(unproven.front().evidence.find("process 7 (benetns)") != std::string::npos);
  CHECK(listening({{10000}, {6101}, {3527}}, {20000}).size() == 3);
}

TEST_CASE("Backup Exec: a check that is said to be done and passed no bytes is none", "[doctor]") {
  const auto nothing = listening({}, {});
  REQUIRE(nothing.size() == 1);
  CHECK(nothing.front().id == "other_direction_unchecked");
  CHECK(nothing.front().cause.find("10000, 20000-20024") != std::string::npos);
  CHECK_FALSE(is_healthy(nothing));
  CHECK_FALSE(is_healthy(listening({}, {10000})));
  CHECK_FALSE(is_healthy(listening({}, {20000})));
  // Backup Exec's agent has the control port here: the other end asks it in its own protocol.
  CHECK(listening({}, {20000}, {}, {{10000, "process 9 (beremote)"}}).empty());
}

TEST_CASE("Backup Exec: a fixed port that is refused is closed, whoever has it", "[doctor]") {
  BackupExecFacts facts = all_open();
  set(facts, 6101, 6101, PortState::Refused);
  for (CheckedPort& port : facts.ports) {
    port.taken_by = port.plan.port == 6101 ? "process 7 (benetns)" : "";
    CHECK(verdict(port, true) == (port.plan.port == 6101 ? PortVerdict::Closed : PortVerdict::Fine));
  }
}

TEST_CASE("Port probe: a state is called the same at both ends, and one of a later version is unreachable",
          "[doctor]") {
  for (const PortState state : {PortState::Open, PortState::Refused, PortState::Dropped, PortState::Silent,
                                PortState::Foreign, PortState::Unreachable, PortState::TurnedBack,
                                PortState::Prohibited, PortState::Forbidden, PortState::Absent})
    CHECK(port_state_of(state_name(state)) == state);
  CHECK(port_state_of("sideways") == PortState::Unreachable);
}

TEST_CASE("Port talk: lines of strangers are read without harm", "[doctor]") {
  std::string received = "{\"a\":[1,0,-4,70000,\"x\",2]}\n{";
  const auto line = take_line(received);
  REQUIRE(line);
  CHECK(received == "{");
  CHECK_FALSE(take_line(received));
  const auto object = parse_line(*line);
  REQUIRE(object);
  CHECK(ports_in(*object, "a") == std::vector<std::uint16_t>{1, 2});
  CHECK(ports_in(*object, "b").empty());
  CHECK(text_in(*object, "a").empty());
  CHECK_FALSE(parse_line("[1]"));
  CHECK_FALSE(parse_line("\xff"));
}
