#include "tunnel-core/obs/log_line.hpp"

#include <spdlog/details/log_msg.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>

namespace culvert {

namespace {

/// Length of the well-formed UTF-8 sequence at the front of `text`, 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const auto continues = [&](std::size_t n) {
    if (text.size() < n) return false;
    for (std::size_t i = 1; i < n; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return false;
    }
    return true;
  };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(2) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!continues(3) || (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!continues(4) || (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

/// The C1 controls (U+0080 to U+009F) are as good as ESC to some terminals.
bool is_control(std::string_view sequence) {
  const auto first = static_cast<std::uint8_t>(sequence[0]);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7f;
  return first == 0xc2 && static_cast<std::uint8_t>(sequence[1]) < 0xa0;
}

void append_hex(std::string& out, std::string_view bytes) {
  for (const char c : bytes)
    fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<std::uint8_t>(c));
}

std::string_view text_level(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return "TRACE";
    case spdlog::level::debug:
      return "DEBUG";
    case spdlog::level::info:
      return "INFO ";
    case spdlog::level::warn:
      return "WARN ";
    default:
      return "ERROR";
  }
}

std::string_view json_level(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return "trace";
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::info:
      return "info";
    case spdlog::level::warn:
      return "warning";
    default:
      return "error";
  }
}

/// syslog(3) priorities, as sd-daemon(3) wants them.
int journal_level(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return 7;
    case spdlog::level::info:
      return 6;
    case spdlog::level::warn:
      return 4;
    default:
      return 3;
  }
}

struct Moment {
  std::tm fields{};
  int milliseconds = 0;
};

Moment moment_of(spdlog::log_clock::time_point time, bool utc) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const std::time_t whole = seconds.count();
  Moment moment;
  if (utc) {
    gmtime_r(&whole, &moment.fields);
  } else {
    localtime_r(&whole, &moment.fields);
  }
  moment.milliseconds =
      static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch - seconds).count());
  return moment;
}

void append_time(spdlog::memory_buf_t& out, const Moment& moment, char between) {
  const std::tm& t = moment.fields;
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}.{:03}", t.tm_year + 1900,
                 t.tm_mon + 1, t.tm_mday, between, t.tm_hour, t.tm_min, t.tm_sec, moment.milliseconds);
}

/// dump() escapes every control character below 0x20 and replaces what is not UTF-8, so it cannot fail.
std::string quoted(std::string_view text) {
  return nlohmann::json(std::string{text}).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool is_key(std::string_view text) {
  return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos &&
         text != "time" && text != "level" && text != "message";
}

/// The `key=value` words that a message begins with: who it is about. Words behind them may be a peer's.
void append_identity(spdlog::memory_buf_t& out, std::string_view payload) {
  std::set<std::string_view> seen;
  while (!payload.empty()) {
    const std::string_view word = payload.substr(0, payload.find(' '));
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos || !is_key(word.substr(0, equals))) return;
    if (!seen.insert(word.substr(0, equals)).second) return;
    fmt::format_to(std::back_inserter(out), R"(,"{}":{})", word.substr(0, equals),
                   quoted(word.substr(equals + 1)));
    payload.remove_prefix(std::min(word.size() + 1, payload.size()));
  }
}

void append_json(spdlog::memory_buf_t& out, const spdlog::details::log_msg& message,
                 std::string_view payload) {
  out.append(std::string_view{R"({"time":")"});
  append_time(out, moment_of(message.time, true), 'T');
  fmt::format_to(std::back_inserter(out), R"(Z","level":"{}")", json_level(message.level));
  append_identity(out, payload);
  fmt::format_to(std::back_inserter(out), R"(,"message":{}}})", quoted(payload));
}

}  // namespace

std::string escape_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view sequence = text.substr(0, length == 0 ? 1 : length);
    text.remove_prefix(sequence.size());
    if (sequence == "\n") {
      out += "\\n";
    } else if (sequence == "\r") {
      out += "\\r";
    } else if (sequence == "\t") {
      out += "\\t";
    } else if (length == 0 || is_control(sequence)) {
      append_hex(out, sequence);
    } else {
      out += sequence;
    }
  }
  return out;
}

void LogLine::format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) {
  const std::string_view payload{message.payload.data(), message.payload.size()};
  switch (style_) {
    case LogStyle::Text:
      append_time(out, moment_of(message.time, false), ' ');
      fmt::format_to(std::back_inserter(out), " {} {}", text_level(message.level), escape_controls(payload));
      break;
    case LogStyle::Json:
      append_json(out, message, payload);
      break;
    case LogStyle::Journal:
      fmt::format_to(std::back_inserter(out), "<{}>{}", journal_level(message.level),
                     escape_controls(payload));
      break;
    case LogStyle::JournalJson:
      fmt::format_to(std::back_inserter(out), "<{}>", journal_level(message.level));
      append_json(out, message, payload);
      break;
  }
  out.push_back('\n');
}

}  // namespace culvert
