#include "firewall-vib/command_line.hpp"

#include <CLI/CLI.hpp>
#include <ostream>

#include "firewall-vib/commands.hpp"
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
      ->type_name("FILE");
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

void declare(CLI::App& app, CommandOptions& options) {
  app.set_version_flag("--version", "culvert-vib " CULVERT_VERSION);
  app.require_subcommand(1);
  app.footer("Example:\n  culvert-vib ports --product vsphere-replication --markdown");
  declare_ports(app, options);
}

Result<void> dispatch(const CLI::App&, const CommandOptions& options, std::ostream& out) {
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
  if (const auto done = dispatch(app, options, out); !done) return report_error(kProgram, done.error());
  out.flush();
  if (out.good()) return kExitDone;
  return report_error(kProgram, Error{Errc::IoFailed, "cannot write the result to standard output"});
}

}  // namespace culvert::firewall
