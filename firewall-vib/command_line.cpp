#include "firewall-vib/command_line.hpp"

#include <CLI/CLI.hpp>
#include <ostream>

#include "firewall-vib/commands.hpp"
#include "firewall-vib/vib_commands.hpp"
#include "tunnel-core/daemon/cli.hpp"
#include "tunnel-core/daemon/usage_error.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert::firewall {

namespace {

constexpr const char* kProgram = "culvert-vib";

CLI::App* command(CLI::App& app, const char* name, const char* what, const char* footer) {
  CLI::App* added = app.add_subcommand(name, what);
  added->footer(footer);
  return added;
}

void declare_row_choice(CLI::App& app, CommandOptions& options) {
  app.add_option("--product", options.product,
                 "Rows of one product: culvert, vsphere-replication, backup-exec");
  app.add_option("--catalogue", options.catalogue, "Another catalogue than the built-in one (TOML)")
      ->type_name("FILE")
      ->check(not_empty());
  app.add_option("--set", options.set, "Other ports for a changeable row; may be given several times")
      ->type_name("ROW=PORTS");
}

void declare_ports(CLI::App& app, CommandOptions& options) {
  CLI::App* ports = command(app, "ports", "Show the port catalogue: who connects to whom, where and why",
                            "Example:\n  culvert-vib ports --product backup-exec");
  declare_row_choice(*ports, options);
  ports->add_option("--role", options.role,
                    "Rows with this machine at either end, like agent or media-server");
  CLI::Option* json = ports->add_flag("--json", options.json, "One JSON object");
  CLI::Option* markdown = ports->add_flag("--markdown", options.markdown, "Markdown tables");
  CLI::Option* csv = ports->add_flag("--csv", options.csv, "CSV, one header line");
  json->excludes(markdown)->excludes(csv);
  markdown->excludes(csv);
}

void declare_rules(CLI::App& app, CommandOptions& options) {
  CLI::App* rules =
      command(app, "rules", "Make rules for the firewall of a machine, or a request for its owner",
              "Scripts and profiles say in their comments how they are checked, loaded and removed.\n"
              "Example:\n  culvert-vib rules --for nftables --role agent --config /etc/culvert/agent.toml");
  rules->add_option("--for", options.form, "nftables, iptables, firewalld, ufw, windows, markdown or csv")
      ->required()
      ->type_name("FORM");
  rules
      ->add_option("--role", options.role,
                   "What the machine is, like agent, gateway, media-server, remote-server")
      ->required();
  declare_row_choice(*rules, options);
  rules
      ->add_option("--config", options.config,
                   "agent.toml: the agent's ports are its port_pool and its forwards'")
      ->type_name("PATH")
      ->check(not_empty());
  rules->add_option("--out", options.out, "File to write (default: standard output)")
      ->type_name("FILE")
      ->check(not_empty());
}

void declare_vib_choice(CLI::App& app, CommandOptions& options) {
  CLI::Option* ports =
      app.add_option("--ports", options.ports, "What to open (default 10000-10010)")->check(not_empty());
  app.add_option("--config", options.config, "agent.toml: open its port_pool and the ports of its forwards")
      ->type_name("PATH")
      ->check(not_empty())
      ->excludes(ports);
  app.add_option("--vib-version", options.vib_version,
                 "Version, like 1.0.0-1; has to rise for hosts to take an update (default " CULVERT_VERSION
                 "-1)");
  app.add_option("--release-date", options.release_date,
                 "ISO 8601 with an offset (default: that of this program)");
  app.add_option("--replaces", options.replaces,
                 "A VIB that goes when this one comes; may be given several times")
      ->type_name("NAME");
  CLI::Option* key = app.add_option("--key", options.key, "Signs with this PEM key, mode 0600")
                         ->type_name("FILE")
                         ->check(not_empty());
  CLI::Option* certificate =
      app.add_option("--certificate", options.certificate, "The signer's certificate, then its issuers (PEM)")
          ->type_name("FILE")
          ->check(not_empty());
  key->needs(certificate);
  certificate->needs(key);
  app.add_option("--acceptance-level", options.acceptance_level,
                 "certified, accepted, partner or community (default: partner with a key, else community)");
}

void declare_vib(CLI::App& app, CommandOptions& options) {
  CLI::App* build = command(
      app, "build", "Build the VIB that opens the agent's ports on ESXi hosts",
      "Prints the path of the file. The same options give the same bytes, unsigned or with an RSA key;\n"
      "an ECDSA signature differs each time.\n"
      "Example:\n  culvert-vib build --config /etc/culvert/agent.toml --out culvert-firewall.vib");
  declare_vib_choice(*build, options);
  build->add_option("--out", options.out, "File, or a directory for a file named after the VIB")
      ->required()
      ->type_name("PATH")
      ->check(not_empty());
  CLI::App* bundle =
      command(app, "bundle", "Build the offline bundle (zip) for esxcli -d and Lifecycle Manager",
              "Prints the path of the file.\n"
              "Example:\n  culvert-vib bundle --ports 10000-10010 --out culvert-firewall-bundle.zip");
  declare_vib_choice(*bundle, options);
  bundle->add_option("--out", options.out, "File, or a directory for culvert-firewall-bundle.zip")
      ->required()
      ->type_name("PATH")
      ->check(not_empty());
  CLI::App* depot =
      command(app, "depot", "Build an online depot: a directory for any web server",
              "Prints the path of its index.xml. culvert-agent serves such a depot by itself.\n"
              "Example:\n  culvert-vib depot --config /etc/culvert/agent.toml --out /srv/www/culvert");
  declare_vib_choice(*depot, options);
  depot->add_option("--out", options.out, "A directory that does not exist yet")
      ->required()
      ->type_name("DIR")
      ->check(not_empty());
}

void declare_looking(CLI::App& app, CommandOptions& options) {
  CLI::App* inspect = command(app, "inspect", "Show what is in a VIB, anybody's",
                              "Example:\n  culvert-vib inspect culvert-firewall.vib --json");
  CLI::App* verify = command(app, "verify", "Say everything that is wrong with a VIB, anybody's",
                             "Exit code 1 when there is a fault; warnings alone give 0.\n"
                             "Example:\n  culvert-vib verify culvert-firewall.vib --trust company-root.pem");
  for (CLI::App* look : {inspect, verify}) {
    look->add_option("FILE", options.file, "The .vib file")->required();
    look->add_option("--trust", options.trust, "Roots (PEM) that have to vouch for the signer")
        ->type_name("FILE")
        ->check(not_empty());
    look->add_flag("--json", options.json, "One JSON object");
  }
}

void declare(CLI::App& app, CommandOptions& options) {
  app.set_version_flag("--version", "culvert-vib " CULVERT_VERSION);
  app.require_subcommand(1);
  app.footer("Example:\n  culvert-vib ports --product vsphere-replication --markdown");
  declare_ports(app, options);
  declare_rules(app, options);
  declare_vib(app, options);
  declare_looking(app, options);
}

Result<void> dispatch(const CLI::App& app, const CommandOptions& options, const VibCli& to) {
  std::ostream& out = to.out;
  if (app.got_subcommand("rules")) return make_rules(options, out);
  if (app.got_subcommand("build")) return build_vib_file(options, out, to.err);
  if (app.got_subcommand("bundle")) return build_bundle(options, out, to.err);
  if (app.got_subcommand("depot")) return build_depot(options, out, to.err);
  if (app.got_subcommand("inspect")) return inspect_vib(options, out);
  if (app.got_subcommand("verify")) return verify_vib(options, out);
  return show_ports(options, out);
}

}  // namespace

int VibCli::execute(const std::vector<std::string>& arguments) const {
  CommandOptions options;
  CLI::App app{"culvert-vib: the ports that replication needs, and rules that open them", kProgram};
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
    err << kProgram << ": " << escape_controls(usage_error(app, error).text()) << "\n";
    return kExitUsage;
  }
  if (const auto done = dispatch(app, options, *this); !done) return report_error(kProgram, done.error());
  out.flush();
  if (out.good()) return kExitDone;
  return report_error(kProgram, Error{Errc::IoFailed, "cannot write the result to standard output"});
}

}  // namespace culvert::firewall
