// What Backup Exec says when a port is closed, and `culvert-agent explain`.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tunnel-core/base/result.hpp"

namespace culvert {

struct BackupExecError {
  std::string code;     ///< "0xE0000F25"; empty where none belongs to it.
  std::string message;  ///< "V-79-57344-3877".
  std::string meaning;
  std::vector<std::string> checks;  ///< In the order in which to look.
};

const std::vector<BackupExecError>& backup_exec_errors();

/// The other way to write a number: 0xE0000F25 <-> V-79-57344-3877 (57344 is 0xE000, 3877 is 0x0F25). Nothing
/// for what is neither.
std::optional<std::string> other_form(std::string_view code);

/// Case, spaces around it and a missing 0x do not matter.
/// @error UsageInvalid: empty; NotFound: none that is known here, with the other form of the number.
Result<BackupExecError> explain_backup_exec(std::string_view code);

/// What Backup Exec shows when a row of the catalogue ("be-control") is closed; one sentence, without a full
/// stop.
std::string symptom_of_row(std::string_view row);

std::string error_text(const BackupExecError& error);
nlohmann::json to_json(const BackupExecError& error);

}  // namespace culvert
