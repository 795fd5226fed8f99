// Results as people read them: aligned tables on stdout, what to do next on stderr.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace culvert {

/// What a command prints. Both end in a line break unless empty.
struct CliOutput {
  std::string out;   ///< The result.
  std::string hint;  ///< For a person.
};

/// @param command         of AdminService, with its result.
/// @param config_option   what the next command has to say as well: ` --config PATH`, or nothing.
CliOutput render_result(const std::string& command, const nlohmann::json& result, bool as_json,
                        const std::string& config_option = {});

/// Columns two blanks apart, no blanks at line ends.
std::string render_table(const std::vector<std::string>& header,
                         const std::vector<std::vector<std::string>>& rows);

}  // namespace culvert
