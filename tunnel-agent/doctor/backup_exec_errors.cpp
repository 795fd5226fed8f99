#include "tunnel-agent/doctor/backup_exec_errors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace culvert {

namespace {

constexpr std::string_view kHexPrefix = "0XE000";
constexpr std::string_view kBarePrefix = "E000";  // Logs and people write the number without its 0x, too.
constexpr std::string_view kMessagePrefix = "V-79-57344-";

std::string folded(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c != ' ' && c != '\t') result += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  const bool bare = result.starts_with(kBarePrefix) && result.size() == kBarePrefix.size() + 4;
  return bare ? fmt::format("0X{}", result) : result;
}

std::optional<unsigned> number_in(std::string_view digits, int base) {
  unsigned number = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (failure != std::errc{} || end != digits.data() + digits.size() || number > 0xFFFF) return std::nullopt;
  return number;
}

std::vector<BackupExecError> make_errors() {
  const std::string both_ends =
      "check the ports from both ends: `culvert-agent doctor --listen` on the remote server, then "
      "`culvert-agent doctor --backup-exec REMOTE-SERVER` on the Backup Exec server";
  const std::string antivirus =
      "look at the firewalls of both machines, those of antivirus programs included";
  return {
      {"0xE0000F02",
       "V-79-57344-3842",
       "the Backup Exec server could not connect to the remote computer",
       {"is TCP 10000 open from the Backup Exec server to the remote server?", both_ends,
        "does the Backup Exec agent (beremote) run on the remote server?", antivirus,
        "is the dynamic range for data open as well: at least 25 ports, and 2 for each parallel job?"}},
      {"0xE0000F04",
       "V-79-57344-3844",
       "the Backup Exec server could not connect to the remote system (its neighbours 0xE0000F02 and "
       "0xE0000F25 are better documented)",
       {"is TCP 10000 open from the Backup Exec server to the remote server?", both_ends, antivirus}},
      {"0xE0000F25",
       "V-79-57344-3877",
       "a communication failure occurred while attempting to connect: wrong name, machine powered off, no "
       "agent, or the network between",
       {"does the name of the remote server resolve to the right address on the Backup Exec server?",
        "is the remote server powered on, and does the Backup Exec agent (beremote) run there?", both_ends,
        "does browsing work while backups fail? Then control works but data is blocked: open the dynamic "
        "range, "
        "the same one that Network and Security of the Backup Exec server names",
        antivirus}},
      {"",
       "V-370-59792-00041",
       "a message that Backup Exec shows beside connection failures when ports are not open",
       {both_ends, "read the number beside it (0xE0000F02, 0xE0000F25) and have it explained", antivirus}},
  };
}

}  // namespace

const std::vector<BackupExecError>& backup_exec_errors() {
  static const std::vector<BackupExecError> errors = make_errors();
  return errors;
}

std::optional<std::string> other_form(std::string_view code) {
  const std::string text = folded(code);
  if (text.starts_with(kHexPrefix) && text.size() == kHexPrefix.size() + 4) {
    const auto number = number_in(std::string_view{text}.substr(kHexPrefix.size()), 16);
    if (number) return fmt::format("{}{}", kMessagePrefix, *number);
  }
  if (text.starts_with(kMessagePrefix)) {
    const auto number = number_in(std::string_view{text}.substr(kMessagePrefix.size()), 10);
    if (number) return fmt::format("0xE000{:04X}", *number);
  }
  return std::nullopt;
}

Result<BackupExecError> explain_backup_exec(std::string_view code) {
  const std::string wanted = folded(code);
  if (wanted.empty()) return Error{Errc::UsageInvalid, "no code was given; write it like 0xE0000F25"};
  const auto other = other_form(code);
  for (const BackupExecError& error : backup_exec_errors()) {
    const bool by_other = other && (folded(*other) == folded(error.code) || *other == error.message);
    if (wanted == folded(error.code) || wanted == folded(error.message) || by_other) return error;
  }
  std::string known;
  for (const BackupExecError& error : backup_exec_errors())
    known += (known.empty() ? "" : ", ") + (error.code.empty() ? error.message : error.code);
  return Error{Errc::NotFound, fmt::format("'{}' is not known here{}; known are {}", code,
                                           other ? ", it is also written " + *other : std::string{}, known)};
}

std::string symptom_of_row(std::string_view row) {
  if (row == "be-control")
    return "Backup Exec shows no selection list and fails with 0xE0000F02 (V-79-57344-3842) or 0xE0000F25 "
           "(V-79-57344-3877)";
  if (row == "be-data")
    return "backups and restores fail with 0xE0000F02 (V-79-57344-3842) or 0xE0000F25 (V-79-57344-3877)";
  if (row == "be-browser") return "in Backup Exec the remote server does not appear in selection lists";
  if (row == "be-dedup-engine" || row == "be-dedup-manager")
    return "in Backup Exec jobs with client-side deduplication fail, with 0xE0000F02 (V-79-57344-3842) or "
           "0xE0000F25 (V-79-57344-3877)";
  if (row == "be-server" || row == "be-management" || row == "be-console-rpc" || row == "be-console-wmi")
    return "a remote administration console cannot manage the Backup Exec server";
  if (row == "be-job-engine") return "jobs that start at the remote server (Oracle) do not reach Backup Exec";
  return "what uses this port fails, in Backup Exec often with 0xE0000F25 (V-79-57344-3877)";
}

std::string error_text(const BackupExecError& error) {
  std::string text = error.code.empty() ? error.message : error.code + "  " + error.message;
  text += "\nmeans: " + error.meaning + ".\ncheck:\n";
  for (std::size_t i = 0; i < error.checks.size(); ++i)
    text += fmt::format("  {}. {}\n", i + 1, error.checks[i]);
  return text;
}

nlohmann::json to_json(const BackupExecError& error) {
  return {{"code", error.code.empty() ? nlohmann::json(nullptr) : nlohmann::json(error.code)},
          {"message", error.message},
          {"meaning", error.meaning},
          {"checks", error.checks}};
}

}  // namespace culvert
