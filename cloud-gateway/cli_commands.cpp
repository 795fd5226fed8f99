#include "cloud-gateway/cli_commands.hpp"

#include <unistd.h>

#include <cstdio>

#include "cloud-gateway/cli_render.hpp"
#include "tunnel-core/daemon/admin_socket.hpp"
#include "tunnel-core/daemon/cli.hpp"
#include "tunnel-core/daemon/files.hpp"
#include "tunnel-core/daemon/json_text.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {

using nlohmann::json;

namespace {

constexpr const char* kProgram = "culvert-gateway";

/// A result that nobody can read is a failure: a full disk behind `>`, say.
int print_result(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return kExitDone;
  return report_error(
      kProgram, Error{Errc::IoFailed, "cannot write the result to stdout; the command itself was done"});
}

/// What the next command must repeat, for a gateway that is not in the usual place.
std::string config_option_of(const CliCommand& command) {
  if (command.config == CliCommand{}.config) return {};
  return " --config " + shell_word(command.config.string());
}

int run_init(const CliCommand& command) {
  const auto config = init_gateway(command.init, certs::utc_now());
  if (!config) return report_error(kProgram, config.error());
  const std::string option = " --config " + shell_word(config->string());
  std::fprintf(stderr,
               "made a gateway in %s; next:\n  culvert-gateway org add ORG%s\n  culvert-gateway run%s\n",
               command.init.data_dir.c_str(), option.c_str(), option.c_str());
  return kExitDone;
}

int run_daemon(const CliCommand& command, const GatewayRunner& run) {
  const auto config = GatewayConfig::read(command.config);
  if (!config) return report_error(kProgram, config.error());
  if (auto logging = start_logging(config->log); !logging) return report_error(kProgram, logging.error());
  raise_file_limit();
  auto gateway = open_gateway(*config);
  if (!gateway) return report_error(kProgram, gateway.error());
  if (auto served = run(*gateway); !served) return report_error(kProgram, served.error());
  return kExitDone;
}

/// The command without a daemon: the caller holds the lock of the data directory.
Result<json> work_on_files(const GatewayConfig& config, const AdminRequest& request) {
  auto store = Store::open(config.store);
  if (!store) return std::move(store).error();
  // The root's certificate is public and enough: no key is read for a joining string.
  auto chain = certs::load_chain(config.authorities /
                                 (std::string{certs::authority_file_name(certs::Purpose::Root)} + ".pem"));
  if (!chain) return std::move(chain).error();
  return AdminService{*store, joining_terms(config, chain->front()), {}}.execute(request);
}

Result<json> ask(const CliCommand& command) {
  auto config = GatewayConfig::read(command.config);
  if (!config) return std::move(config).error();
  const AdminRequest request{command.admin_command, command.arguments, ::getuid()};
  if (command.admin_command == "status") return admin_call(config->data_dir, request);
  return admin_call_or(config->data_dir, request,
                       [&](const AdminRequest& own) { return work_on_files(*config, own); });
}

int run_admin(const CliCommand& command) {
  const auto result = ask(command);
  if (!result) {
    if (command.json) {
      const json object{
          {"error", {{"code", errc_name(result.error().code())}, {"message", result.error().text()}}}};
      print_result(json_text(object));
    }
    return report_error(kProgram, result.error());
  }
  const CliOutput output =
      render_result(command.admin_command, *result, command.json, config_option_of(command));
  std::fputs(output.hint.c_str(), stderr);
  return print_result(output.out);
}

}  // namespace

int gateway_main(int argc, const char* const* argv, const GatewayRunner& run) {
  const auto parsed = parse_cli(argc, argv);
  if (!parsed) return report_error(kProgram, parsed.error());
  if (!parsed->command) return print_result(parsed->text);
  switch (parsed->command->kind) {
    case CliCommand::Kind::Init:
      return run_init(*parsed->command);
    case CliCommand::Kind::Run:
      return run_daemon(*parsed->command, run);
    case CliCommand::Kind::Admin:
      return run_admin(*parsed->command);
  }
  return kExitUsage;
}

}  // namespace culvert
