#include "tunnel-core/daemon/usage_error.hpp"

#include <string>
#include <string_view>

namespace culvert {
namespace {

/// CLI11 says that a subcommand is missing even where there was one that it did not know.
std::string what_is_wrong(const CLI::App& app, const CLI::ParseError& error) {
  const bool lacks_command = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr &&
                             std::string_view{error.what()}.find("ubcommand") != std::string_view::npos;
  if (!lacks_command) return error.what();
  const auto unknown = app.remaining(/*recurse=*/true);
  return unknown.empty() ? "a command is missing" : "there is no command '" + unknown.front() + "' here";
}

/// The commands as far as they were understood.
std::string understood(const CLI::App& app) {
  std::string path = app.get_name();
  const CLI::App* command = &app;
  for (auto below = command->get_subcommands(); !below.empty(); below = command->get_subcommands()) {
    command = below.front();
    path += " " + command->get_name();
  }
  return path;
}

}  // namespace

Error usage_error(const CLI::App& app, const CLI::ParseError& error) {
  return {Errc::UsageInvalid, what_is_wrong(app, error) + "; see '" + understood(app) + " --help'"};
}

CLI::Validator not_empty() {
  return {[](const std::string& text) { return std::string{text.empty() ? "it is empty" : ""}; }, {}};
}

}  // namespace culvert
