// What one line of the log looks like. Nothing that a peer sends can end a line or drive a terminal.
#pragma once

#include <spdlog/formatter.h>

#include <memory>
#include <string>
#include <string_view>

namespace culvert {

/// Control characters and bytes that are not UTF-8 become `\n`, `\r`, `\t` or `\x1b`; the rest stays as it
/// is. A backslash stays single: lines are for reading, not for parsing back (JSON lines are).
std::string escape_controls(std::string_view text);

enum class LogStyle {
  Text,  ///< `2026-11-21 10:00:00.123 INFO  message`, local time.
  Json,  ///< `{"time":"2026-11-21T10:00:00.123Z","level":"info","org":"acme","message":"org=acme …"}`: the
         ///< `key=value` words that a message begins with are members of their own, as strings.
  Journal,  ///< `<6>message`: the journal keeps the time itself and reads the level from the prefix.
  JournalJson,
};

class LogLine final : public spdlog::formatter {
 public:
  explicit LogLine(LogStyle style) : style_(style) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override;
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<LogLine>(style_); }

 private:
  LogStyle style_;
};

}  // namespace culvert
