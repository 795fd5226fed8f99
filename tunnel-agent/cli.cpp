#include "tunnel-agent/cli.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "tunnel-agent/firewall_depot.hpp"
#include "tunnel-agent/forward_service.hpp"
#include "tunnel-agent/join.hpp"
#include "tunnel-agent/limit_service.hpp"
#include "tunnel-agent/status.hpp"
#include "tunnel-core/daemon/admin_socket.hpp"
#include "tunnel-core/daemon/bandwidth_limit.hpp"
#include "tunnel-core/daemon/cli.hpp"
#include "tunnel-core/daemon/json_text.hpp"
#include "tunnel-core/daemon/usage_error.hpp"
#include "tunnel-core/obs/log.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

using nlohmann::json;

namespace {

constexpr std::streamsize kMaxJoiningString = 4096;

/// What the arguments said. CLI11 writes into it, so it outlives the parse.
struct Options {
  std::string config = kDefaultAgentConfig;
  std::string joining_string;
  std::string data_dir;
  std::string name;
  std::uint16_t port = 0;
  std::vector<std::string> bind;
  std::vector<std::string> allow_from;
  std::string host;
  bool close_when_down = false;
  int weight = kDefaultWeight;
  std::string up;
  std::string down;
  std::vector<std::string> windows;
  bool json = false;
  bool streams = false;
  DoctorOptions doctor;
};

/// One line, which is all of it: a terminal does not end by itself. Empty ones before it are passed over.
std::string read_joining_string(std::istream& in) {
  std::string line;
  for (char c = 0; line.size() < kMaxJoiningString && in.get(c);) {
    if (c == '\n' && !line.empty()) break;
    if (c != '\n' && c != '\r') line.push_back(c);
  }
  return line;
}

class Commands {
 public:
  Commands(const AgentCli& cli, Options& options) : cli_(cli), options_(options) {}

  Result<void> run() const {
    auto config = load_config(options_.config);
    if (!config) return std::move(config).error();
    if (auto logging = start_logging(config->log); !logging) return logging;
    return cli_.run(*config);
  }

  Result<void> join() const {
    std::string text = options_.joining_string;
    if (text == "-") {
      if (&cli_.in == &std::cin && ::isatty(STDIN_FILENO) == 1)
        cli_.err << "paste the joining string and press Enter:" << std::endl;
      text = read_joining_string(cli_.in);
    }
    const auto joined = join_gateway(text, options_.data_dir, certs::utc_now());
    if (!joined) return joined.error();
    cli_.out << "joined " << joined->gateway_url << " as " << joined->org << "/" << joined->site << "\n";
    cli_.err << fmt::format(
        "The certificate is valid until {}. Next:\n  culvert-agent forward add TARGET --config {}\n"
        "  culvert-agent run --config {}\n",
        joined->certificate_expires_at, joined->config_file.string(), joined->config_file.string());
    return {};
  }

  Result<void> forward_add(const CLI::App& command) const {
    json arguments{{"name", options_.name}};
    if (command.count("--port") > 0) arguments["port"] = options_.port;
    if (command.count("--bind") > 0) arguments["bind"] = options_.bind;
    if (command.count("--allow-from") > 0) arguments["allow_from"] = options_.allow_from;
    if (command.count("--close-when-down") > 0) arguments["close_when_down"] = options_.close_when_down;
    if (command.count("--weight") > 0) arguments["weight"] = options_.weight;
    auto result = ask("forward.add", std::move(arguments));
    if (!result) return std::move(result).error();
    for (const json& skipped : result->at("skipped")) cli_.err << skipped.get<std::string>() << "\n";
    if (options_.json) {
      cli_.out << json_text(*result);
    } else {
      cli_.out << fmt::format("forward {} on port {}\n", result->at("name").get<std::string>(),
                              result->at("port").get<int>());
    }
    return {};
  }

  Result<void> forward_list() const {
    auto result = ask("forward.list", json::object());
    if (!result) return std::move(result).error();
    cli_.out << (options_.json ? json_text(*result) : forwards_table(result->at("forwards")));
    return {};
  }

  Result<void> forward_remove() const {
    auto result = ask("forward.remove", {{"name", options_.name}});
    if (!result) return std::move(result).error();
    cli_.out << (options_.json ? json_text(*result) : "removed forward " + options_.name + "\n");
    return {};
  }

  Result<void> firewall() const {
    auto config = load_config(options_.config);
    if (!config) return std::move(config).error();
    auto report = admin_call_or(config->data_dir, {"firewall", {{"host", options_.host}}},
                                [&](const AdminRequest&) { return firewall_report(*config, options_.host); });
    if (!report) return std::move(report).error();
    cli_.out << (options_.json ? json_text(*report) : firewall_text(*report));
    return {};
  }

  Result<void> limit_set() const { return change_limit("limit.set"); }
  Result<void> limit_remove() const { return change_limit("limit.remove"); }

  Result<void> limit_list() const {
    auto result = ask("limit.list", json::object());
    if (!result) return std::move(result).error();
    cli_.out << (options_.json ? json_text(*result) : limits_table(*result));
    return {};
  }

  /// @return the exit code; a finding is not an error of ours.
  Result<int> doctor() const {
    auto healthy = cli_.doctor(options_.doctor, options_.config, cli_.out, cli_.err);
    if (!healthy) return std::move(healthy).error();
    return *healthy ? kExitDone : kExitFailed;
  }

  Result<void> explain() const { return cli_.explain(options_.doctor, cli_.out); }

  Result<void> status() const {
    auto answer = ask_running();
    if (!answer) return std::move(answer).error();
    cli_.out << (options_.json ? json_text(*answer) : status_table(*answer));
    return {};
  }

 private:
  Result<void> change_limit(const char* command) const {
    json arguments = json::object();
    if (!options_.name.empty()) arguments["forward"] = options_.name;
    if (!options_.up.empty()) arguments["up"] = options_.up;
    if (!options_.down.empty()) arguments["down"] = options_.down;
    if (!options_.windows.empty()) arguments["windows"] = options_.windows;
    auto result = ask(command, std::move(arguments));
    if (!result) return std::move(result).error();
    if (options_.json) {
      cli_.out << json_text(*result);
      return {};
    }
    const json& now = result->at("now");
    cli_.out << fmt::format(
        "limit of {} now: up {}, down {}{}\n",
        options_.name.empty() ? "the site" : "forward " + options_.name, rate_text(now, "up_bits_per_s"),
        rate_text(now, "down_bits_per_s"),
        now.at("window").is_null() ? "" : " (" + now.at("window").get<std::string>() + ")");
    return {};
  }

  /// By way of the running agent, or on the files when none runs.
  Result<json> ask(const std::string& command, json arguments) const {
    auto config = load_config(options_.config);
    if (!config) return std::move(config).error();
    return admin_call_or(config->data_dir, {command, std::move(arguments)}, [&](const AdminRequest& request) {
      ForwardService forwards{*config, nullptr};
      LimitService limits{*config, {}};
      return execute_on_files(forwards, limits, request);
    });
  }

  Result<json> ask_running() const {
    auto config = load_config(options_.config);
    if (!config) return std::move(config).error();
    auto answer = admin_call(config->data_dir, {"status", {{"streams", options_.streams}}});
    if (!answer && answer.error().code() == Errc::DaemonUnreachable) {
      return Error{Errc::DaemonUnreachable,
                   fmt::format("no agent runs on {}; start it with `culvert-agent run --config {}`",
                               config->data_dir.string(), options_.config)};
    }
    return answer;
  }

  const AgentCli& cli_;
  Options& options_;
};

CLI::App* command_with_config(CLI::App& parent, Options& options, const char* name, const char* what,
                              const std::string& example) {
  CLI::App* command = parent.add_subcommand(name, what);
  command->add_option("--config", options.config, "The agent's configuration")
      ->capture_default_str()
      ->type_name("PATH")
      ->check(not_empty());
  command->footer("Example:\n  " + example);
  return command;
}

void declare_forward(CLI::App& app, Options& options) {
  CLI::App* forward =
      app.add_subcommand("forward", "Add, list and remove forwards: ports here that lead to targets");
  forward->require_subcommand(1);
  forward->footer("Example:\n  culvert-agent forward list");
  CLI::App* add = command_with_config(*forward, options, "add", "Open a port that leads to a target",
                                      "culvert-agent forward add dr-db --port 10003");
  add->add_option("NAME", options.name, "The target's name, as the provider gave it")->required();
  add->add_option(
         "--port", options.port,
         "Any free port, 1 to 65535; without it the first free one of port_pool (10000-10010), which the "
         "forward keeps")
      ->check(CLI::Range(1, 65535));
  add->add_option("--bind", options.bind, "Addresses to listen on; without it all, IPv4 and IPv6")
      ->delimiter(',');
  add->add_option("--allow-from", options.allow_from,
                  "Networks that may connect, like 10.0.0.0/8; without it all")
      ->delimiter(',');
  add->add_flag("--close-when-down", options.close_when_down,
                "Close the port 5 s after session or target is known dead");
  add->add_option("--weight", options.weight,
                  "Share of each of its streams while several want the line, 1 to 16; without it 4. Of a "
                  "forward that is there, it is changed for new streams")
      ->type_name("N")
      ->check(CLI::Range(int{kLeastWeight}, int{kMostWeight}));
  add->add_flag("--json", options.json, "One JSON object on standard output");
  CLI::App* list =
      command_with_config(*forward, options, "list", "Show the forwards", "culvert-agent forward list");
  list->add_flag("--json", options.json, "One JSON object on standard output");
  CLI::App* remove = command_with_config(*forward, options, "remove", "Close a port and forget its forward",
                                         "culvert-agent forward remove dr-db");
  remove->add_option("NAME", options.name, "The forward's name")->required()->check(not_empty());
  remove->add_flag("--json", options.json, "One JSON object on standard output");
}

void declare_firewall(CLI::App& app, Options& options) {
  CLI::App* firewall = command_with_config(
      app, options, "firewall",
      "Show how ESXi hosts get the firewall rules for this agent's ports: download, install, check, "
      "remove, and how to do without",
      "culvert-agent firewall --host agent.example.net");
  firewall
      ->add_option("--host", options.host,
                   "This agent as ESXi hosts reach it, a name or an address; without it the machine's name")
      ->check(not_empty());
  firewall->add_flag("--json", options.json, "One JSON object on standard output");
}

void declare_limit(CLI::App& app, Options& options) {
  CLI::App* limit =
      app.add_subcommand("limit", "Set, list and remove bandwidth limits of the site and of forwards");
  limit->require_subcommand(1);
  limit->footer("Example:\n  culvert-agent limit list");
  CLI::App* set = command_with_config(
      *limit, options, "set", "Limit payload; in force at once, for running streams too",
      "culvert-agent limit set --up 100Mbit/s --down 100Mbit/s\n"
      "  culvert-agent limit set --forward dr-db --up 20Mbit/s --window \"mon-fri 08:00-18:00\"\n"
      "What is not named stays as it was.");
  CLI::App* remove = command_with_config(*limit, options, "remove", "Remove a limit, or windows of it",
                                         "culvert-agent limit remove --forward dr-db");
  for (CLI::App* command : {set, remove}) {
    command->add_option("--forward", options.name, "Of this forward; without it of the whole site")
        ->type_name("NAME")
        ->check(not_empty());
    command
        ->add_option("--window", options.windows,
                     "A part of the week by this host's clock, like \"mon-fri 08:00-18:00\"; may be given "
                     "several times")
        ->type_name("WINDOW")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command->add_flag("--json", options.json, "One JSON object on standard output");
  }
  set->add_option("--up", options.up, "From sources to targets, like 100Mbit/s, or unlimited")
      ->type_name("RATE")
      ->check(not_empty());
  set->add_option("--down", options.down, "From targets to sources")->type_name("RATE")->check(not_empty());
  CLI::App* list = command_with_config(*limit, options, "list", "Show the limits and their windows",
                                       "culvert-agent limit list");
  list->add_flag("--json", options.json, "One JSON object on standard output");
}

void declare(CLI::App& app, Options& options) {
  app.set_version_flag("--version", "culvert-agent " CULVERT_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Example:\n  culvert-agent join - --data /var/lib/culvert-agent < joining-string\n"
      "  culvert-agent forward add dr-db --config /var/lib/culvert-agent/agent.toml\n"
      "  culvert-agent run --config /var/lib/culvert-agent/agent.toml");
  CLI::App* join = app.add_subcommand("join", "Enrol this machine with a gateway");
  join->add_option("JOINSTRING", options.joining_string,
                   "What `culvert-gateway join-token` printed; `-` reads it from standard input")
      ->required()
      ->check(not_empty());
  join->add_option("--data", options.data_dir, "A new or empty directory for keys and configuration")
      ->required()
      ->type_name("DIR")
      ->check(not_empty());
  join->footer("Example:\n  culvert-agent join culvert-join-AbC123 --data /var/lib/culvert-agent");
  command_with_config(app, options, "run", "Run the agent",
                      "culvert-agent run --config /etc/culvert/agent.toml");
  declare_forward(app, options);
  declare_firewall(app, options);
  declare_limit(app, options);
  CLI::App* doctor = command_with_config(
      app, options, "doctor",
      "Find out what is wrong between here and the gateway, or with Backup Exec's ports; 0 when nothing is, "
      "1 with findings",
      "culvert-agent doctor --json\n"
      "  culvert-agent doctor --listen --data-range 20000-20100\n"
      "  culvert-agent doctor --backup-exec files.example.net --data-range 20000-20100 --jobs 4");
  declare_doctor(*doctor, options.doctor);
  declare_explain(app, options.doctor);
  CLI::App* status =
      command_with_config(app, options, "status", "Show session, lanes, forwards, streams and backlog",
                          "culvert-agent status --json");
  status->add_flag("--json", options.json, "One JSON object on standard output");
  status->add_flag("--streams", options.streams, "List the open streams as well");
}

Result<void> dispatch(const CLI::App& app, const Commands& commands) {
  if (app.got_subcommand("join")) return commands.join();
  if (app.got_subcommand("run")) return commands.run();
  if (app.got_subcommand("status")) return commands.status();
  if (app.got_subcommand("explain")) return commands.explain();
  if (app.got_subcommand("firewall")) return commands.firewall();
  if (app.got_subcommand("limit")) {
    const CLI::App* limit = app.get_subcommand("limit");
    if (limit->got_subcommand("set")) return commands.limit_set();
    return limit->got_subcommand("list") ? commands.limit_list() : commands.limit_remove();
  }
  const CLI::App* forward = app.get_subcommand("forward");
  if (forward->got_subcommand("add")) return commands.forward_add(*forward->get_subcommand("add"));
  if (forward->got_subcommand("list")) return commands.forward_list();
  return commands.forward_remove();
}

}  // namespace

int AgentCli::execute(const std::vector<std::string>& arguments) const {
  const int code = run_command(arguments);
  out.flush();
  if (out || code != kExitDone) return code;
  return report_error("culvert-agent",
                      {Errc::IoFailed, "cannot write the result to stdout; the command itself was done"});
}

int AgentCli::run_command(const std::vector<std::string>& arguments) const {
  Options options;
  CLI::App app{"culvert-agent: carries replication streams to the targets of a provider over HTTPS",
               "culvert-agent"};
  declare(app, options);
  try {
    std::vector<std::string> reversed{arguments.rbegin(), arguments.rend()};  // As CLI11 wants a vector.
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    out << app.help();
    return kExitDone;
  } catch (const CLI::CallForVersion& version) {
    out << version.what() << "\n";
    return kExitDone;
  } catch (const CLI::ParseError& error) {
    err << "culvert-agent: " << escape_controls(usage_error(app, error).text()) << "\n";
    return kExitUsage;
  }
  if (app.got_subcommand("doctor")) {
    const auto code = Commands{*this, options}.doctor();
    return code ? *code : report_error("culvert-agent", code.error());
  }
  const auto done = dispatch(app, Commands{*this, options});
  if (done) return kExitDone;
  if (options.json) {
    const json error{{"code", errc_name(done.error().code())}, {"message", done.error().text()}};
    out << json_text(json{{"error", error}});
  }
  return report_error("culvert-agent", done.error());
}

}  // namespace culvert
