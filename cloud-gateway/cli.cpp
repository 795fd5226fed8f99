#include "cloud-gateway/cli.hpp"

#include <CLI/CLI.hpp>
#include <deque>
#include <map>

#include "cloud-gateway/control/version.hpp"
#include "tunnel-core/daemon/usage_error.hpp"

namespace culvert {

namespace {

struct Positional {
  const char* name;  ///< As help shows it; in lower case the argument of the admin command.
  const char* meaning;
  bool required = true;
};

std::string lower_case(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

/// The grammar of the command line, one method per group of commands.
class CommandLine {
 public:
  CommandLine();
  Result<CliParse> parse(int argc, const char* const* argv);

 private:
  struct Leaf {
    CLI::App* app = nullptr;
    CliCommand::Kind kind = CliCommand::Kind::Admin;
    std::string admin_command;
    std::map<std::string, std::string> values;  // Positionals and options by argument name.
    std::vector<std::string> windows;
  };

  void add_init();
  void add_run();
  void add_orgs();
  void add_targets();
  void add_sites();
  void add_limits();
  void add_status();
  CLI::App* group(const char* name, const char* about);
  Leaf& leaf(CLI::App* parent, CliCommand::Kind kind, const char* name, const char* about,
             const std::string& example);
  Leaf& admin(CLI::App* parent, const char* name, const char* admin_command, const char* about,
              const std::string& example, const std::vector<Positional>& positionals);
  void with_json(Leaf& leaf);
  void with_option(Leaf& leaf, const char* name, const char* type, const char* meaning);
  void with_limit_scope(Leaf& leaf);
  CliCommand command_of(const Leaf& leaf) const;

  CLI::App app_{
      "The provider's end of Culvert: carries replication streams of many organizations to their targets.",
      "culvert-gateway"};
  std::deque<Leaf> leaves_;  // A deque: CLI11 keeps references to the values.
  CliCommand typed_;
  std::string data_dir_;
  std::string config_ = typed_.config.string();
};

CommandLine::CommandLine() {
  app_.set_version_flag("--version", "culvert-gateway " + std::string{kVersion});
  app_.require_subcommand(1);
  app_.footer(
      "Example:\n"
      "  culvert-gateway init --data /var/lib/culvert-gateway --hostname gw.example.net\n"
      "  culvert-gateway org add acme\n"
      "  culvert-gateway target add acme dr-db db.dr.internal:5432\n"
      "  culvert-gateway join-token acme tokyo\n"
      "  culvert-gateway run\n"
      "Commands change a running gateway at once, or its files when it does not run.");
  add_init();
  add_run();
  add_orgs();
  add_targets();
  add_sites();
  add_limits();
  add_status();
}

void CommandLine::add_init() {
  auto& init = leaf(
      &app_, CliCommand::Kind::Init, "init",
      "Make a gateway: certificate authorities, server certificate, store and gateway.toml",
      "culvert-gateway init --data /var/lib/culvert-gateway --hostname gw.example.net --listen 0.0.0.0:443");
  init.app->add_option("--data", data_dir_, "The directory to make, or an empty one")
      ->required()
      ->type_name("DIR")
      ->check(not_empty());
  init.app
      ->add_option("--hostname", typed_.init.hostname, "The DNS name or address agents reach this gateway by")
      ->required()
      ->type_name("NAME")
      ->check(not_empty());
  init.app->add_option("--listen", typed_.init.listen, "Where to listen; may be given several times")
      ->type_name("ADDRESS:PORT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->default_str("0.0.0.0:443")
      ->check(not_empty());
  init.app
      ->add_option("--public-url", typed_.init.public_url,
                   "What agents connect to, where that is not https://NAME:PORT")
      ->type_name("URL")
      ->check(not_empty());
}

void CommandLine::add_run() {
  auto& run = leaf(&app_, CliCommand::Kind::Run, "run", "Serve until SIGTERM",
                   "culvert-gateway run --config /etc/culvert/gateway.toml");
  run.app->add_option("--config", config_, "The gateway's configuration")
      ->type_name("PATH")
      ->capture_default_str()
      ->check(not_empty());
}

void CommandLine::add_orgs() {
  CLI::App* org = group("org", "Organizations: the customers of this gateway");
  admin(org, "add", "org.add", "Add an org", "culvert-gateway org add acme",
        {{"ORG", "Its name: a-z, 0-9, '-'"}});
  with_json(admin(org, "list", "org.list", "List the orgs", "culvert-gateway org list --json", {}));
  with_json(admin(org, "remove", "org.remove",
                  "Remove an org with its targets and sites, and end its sessions",
                  "culvert-gateway org remove acme", {{"ORG", "Its name"}}));
}

void CommandLine::add_targets() {
  CLI::App* target = group("target", "Targets: the destinations an org's sites may reach");
  admin(target, "add", "target.add", "Allow an org a target",
        "culvert-gateway target add acme dr-db db.dr.internal:5432\n"
        "An address written literally, or localhost, is permitted whatever it is; a name must not resolve to "
        "a\n"
        "loopback, link-local or metadata address.",
        {{"ORG", "The org"},
         {"TARGET", "The target's name: a-z, 0-9, '-'"},
         {"ADDRESS", "HOST:PORT, IPv6 in brackets: [2001:db8::7]:5432"}});
  with_json(admin(target, "list", "target.list", "List the targets", "culvert-gateway target list acme",
                  {{"ORG", "Of this org only", false}}));
  with_json(admin(
      target, "remove", "target.remove", "Take a target away from an org; running streams to it go on",
      "culvert-gateway target remove acme dr-db", {{"ORG", "The org"}, {"TARGET", "The target's name"}}));
}

void CommandLine::add_sites() {
  CLI::App* site = group("site", "Sites: the enrolled agents of an org");
  with_json(admin(site, "list", "site.list", "List the sites", "culvert-gateway site list acme",
                  {{"ORG", "Of this org only", false}}));
  with_json(admin(site, "remove", "site.remove",
                  "Remove a site: its certificates are refused and its sessions end",
                  "culvert-gateway site remove acme tokyo", {{"ORG", "The org"}, {"SITE", "The site"}}));
  admin(&app_, "join-token", "join-token",
        "Print a joining string for one site, valid 24 hours, once; adds the site when it is new",
        "culvert-gateway join-token acme tokyo",
        {{"ORG", "The org"}, {"SITE", "The site's name: a-z, 0-9, '-'"}});
}

void CommandLine::add_limits() {
  CLI::App* limit = group("limit", "Bandwidth limits and ceilings of lanes, in force at once");
  Leaf& set = admin(
      limit, "set", "limit.set", "Limit the payload of an org, of one of its sites or targets, or its lanes",
      "culvert-gateway limit set acme --up 500Mbit/s --down 500Mbit/s\n"
      "  culvert-gateway limit set acme --site tokyo --up 20Mbit/s --window \"mon-fri 08:00-18:00\"\n"
      "  culvert-gateway limit set acme --lanes 4\n"
      "What is not named stays as it was. Windows are by this host's clock.",
      {{"ORG", "The org"}});
  with_limit_scope(set);
  with_option(set, "--up", "RATE", "From sources to targets, like 100Mbit/s, or unlimited");
  with_option(set, "--down", "RATE", "From targets to sources");
  with_option(set, "--lanes", "N", "The most lanes of a session, 1 to 32, or default");
  with_json(set);
  with_json(admin(limit, "list", "limit.list", "List the limits", "culvert-gateway limit list acme",
                  {{"ORG", "Of this org only", false}}));
  Leaf& remove = admin(limit, "remove", "limit.remove", "Remove a limit, or windows of it",
                       "culvert-gateway limit remove acme --site tokyo", {{"ORG", "The org"}});
  with_limit_scope(remove);
  with_json(remove);
}

void CommandLine::with_limit_scope(Leaf& leaf) {
  with_option(leaf, "--site", "SITE", "Of this site; without it of all");
  with_option(leaf, "--target", "TARGET", "To this target; without it to all");
  leaf.app
      ->add_option("--window", leaf.windows,
                   "A part of the week, like \"mon-fri 08:00-18:00\"; may be given several times")
      ->type_name("WINDOW")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void CommandLine::with_option(Leaf& leaf, const char* name, const char* type, const char* meaning) {
  leaf.app->add_option(name, leaf.values[name + 2], meaning)->type_name(type)->check(not_empty());
}

void CommandLine::add_status() {
  with_json(admin(&app_, "status", "status", "Show the running gateway: sessions, streams, health",
                  "culvert-gateway status --json", {}));
}

CLI::App* CommandLine::group(const char* name, const char* about) {
  CLI::App* app = app_.add_subcommand(name, about);
  app->require_subcommand(1);
  app->footer("Example:\n  culvert-gateway " + std::string{name} + " list");
  return app;
}

CommandLine::Leaf& CommandLine::leaf(CLI::App* parent, CliCommand::Kind kind, const char* name,
                                     const char* about, const std::string& example) {
  Leaf& leaf = leaves_.emplace_back();
  leaf.kind = kind;
  leaf.app = parent->add_subcommand(name, about);
  leaf.app->footer("Example:\n  " + example);
  return leaf;
}

CommandLine::Leaf& CommandLine::admin(CLI::App* parent, const char* name, const char* admin_command,
                                      const char* about, const std::string& example,
                                      const std::vector<Positional>& positionals) {
  Leaf& added = leaf(parent, CliCommand::Kind::Admin, name, about, example);
  added.admin_command = admin_command;
  for (const Positional& positional : positionals) {
    const std::string key = lower_case(positional.name);
    auto* option = added.app->add_option(positional.name, added.values[key], positional.meaning);
    option->type_name("")->check(not_empty());
    if (positional.required) option->required();
  }
  added.app->add_option("--config", config_, "The gateway's configuration")
      ->type_name("PATH")
      ->capture_default_str()
      ->check(not_empty());
  return added;
}

void CommandLine::with_json(Leaf& leaf) {
  leaf.app->add_flag("--json", typed_.json, "Print JSON for programs");
}

Result<CliParse> CommandLine::parse(int argc, const char* const* argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return CliParse{std::nullopt, app_.help()};
  } catch (const CLI::CallForVersion& version) {
    return CliParse{std::nullopt, std::string{version.what()} + "\n"};
  } catch (const CLI::ParseError& error) {
    return usage_error(app_, error);
  }
  for (const Leaf& leaf : leaves_) {
    if (leaf.app->parsed()) return CliParse{command_of(leaf), {}};
  }
  return Error{Errc::UsageInvalid, "no command; see 'culvert-gateway --help'"};
}

CliCommand CommandLine::command_of(const Leaf& leaf) const {
  CliCommand command = typed_;
  command.kind = leaf.kind;
  command.admin_command = leaf.admin_command;
  command.config = config_;
  command.init.data_dir = data_dir_;
  for (const auto& [key, value] : leaf.values) {
    if (!value.empty()) command.arguments[key] = value;
  }
  if (!leaf.windows.empty()) command.arguments["windows"] = leaf.windows;
  return command;
}

}  // namespace

Result<CliParse> parse_cli(int argc, const char* const* argv) {
  return CommandLine{}.parse(argc, argv);
}

}  // namespace culvert
