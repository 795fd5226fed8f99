// The command line of culvert-gateway: what was typed, as a value. Doing it is cli_commands.hpp's.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cloud-gateway/init.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

struct CliCommand {
  enum class Kind { Init, Run, Admin };
  Kind kind = Kind::Admin;
  std::string admin_command;  ///< `org.add`, … as AdminService knows it.
  nlohmann::json arguments = nlohmann::json::object();
  std::filesystem::path config = "/etc/culvert/gateway.toml";
  bool json = false;
  InitOptions init;
};

/// Either a command, or text that was asked for (--help, --version).
struct CliParse {
  std::optional<CliCommand> command;
  std::string text;
};

/// @error UsageInvalid with the --help to look at.
Result<CliParse> parse_cli(int argc, const char* const* argv);

}  // namespace culvert
