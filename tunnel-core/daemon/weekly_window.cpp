#include "tunnel-core/daemon/weekly_window.hpp"

#include <spdlog/fmt/fmt.h>

#include <array>
#include <ctime>
#include <optional>

#include "tunnel-core/obs/log_line.hpp"

namespace culvert {
namespace {

constexpr int kDays = 7;
constexpr int kDayMinutes = 24 * 60;
constexpr unsigned kEveryDay = (1U << kDays) - 1;
constexpr std::array<std::string_view, kDays> kDayNames{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

std::optional<int> parse_day(std::string_view text) {
  for (int day = 0; day < kDays; ++day) {
    if (kDayNames[static_cast<std::size_t>(day)] == text) return day;
  }
  return std::nullopt;
}

std::optional<unsigned> parse_days(std::string_view text) {
  if (text == "daily") return kEveryDay;
  unsigned days = 0;
  for (bool more = true; more;) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    more = comma != std::string_view::npos;
    if (more) text.remove_prefix(comma + 1);
    const std::size_t dash = part.find('-');
    const auto first = parse_day(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_day(part.substr(dash + 1));
    if (!first || !last) return std::nullopt;
    for (int day = *first;; day = (day + 1) % kDays) {
      days |= 1U << day;
      if (day == *last) break;
    }
  }
  return days;
}

/// HH:MM, with 24:00 as the end of a day.
std::optional<int> parse_time(std::string_view text) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  for (const std::size_t i : {0U, 1U, 3U, 4U}) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
  }
  const int hour = (text[0] - '0') * 10 + (text[1] - '0');
  const int minute = (text[3] - '0') * 10 + (text[4] - '0');
  if (minute > 59 || hour * 60 + minute > kDayMinutes) return std::nullopt;
  return hour * 60 + minute;
}

std::string days_text(unsigned days) {
  if (days == kEveryDay) return "daily";
  std::string text;
  for (int day = 0; day < kDays; ++day) {
    if ((days >> day & 1U) == 0) continue;
    int last = day;
    while (last + 1 < kDays && (days >> (last + 1) & 1U) != 0) ++last;
    text += (text.empty() ? "" : ",") + std::string{kDayNames[static_cast<std::size_t>(day)]};
    if (last > day)
      text += (last == day + 1 ? "," : "-") + std::string{kDayNames[static_cast<std::size_t>(last)]};
    day = last;
  }
  return text;
}

std::tm local(std::chrono::sys_seconds time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::tzset();  // localtime_r need not notice that the administrator has changed the zone.
  ::localtime_r(&seconds, &parts);
  return parts;
}

}  // namespace

WeekMinute local_week_minute(std::chrono::sys_seconds time) {
  const std::tm parts = local(time);
  return {(parts.tm_wday + 6) % kDays, parts.tm_hour * 60 + parts.tm_min};
}

std::string local_zone_name(std::chrono::sys_seconds time) {
  const std::tm parts = local(time);
  return parts.tm_zone == nullptr ? std::string{} : std::string{parts.tm_zone};
}

Result<WeeklyWindow> WeeklyWindow::parse(std::string_view text) {
  const Error wrong{Errc::UsageInvalid,
                    fmt::format("'{}' is no weekly window; write days and times like 'mon-fri 08:00-18:00', "
                                "'sat,sun 00:00-24:00' or 'daily 22:00-06:00'",
                                escape_controls(text.substr(0, 60)))};
  const std::size_t blank = text.find(' ');
  if (blank == std::string_view::npos || text.size() != blank + 12 || text[blank + 6] != '-') return wrong;
  const auto days = parse_days(text.substr(0, blank));
  const auto from = parse_time(text.substr(blank + 1, 5));
  const auto to = parse_time(text.substr(blank + 7));
  if (!days || !from || !to || *from == kDayMinutes) return wrong;
  return WeeklyWindow{*days, *from, *to == 0 ? kDayMinutes : *to};
}

bool WeeklyWindow::contains(WeekMinute at) const {
  if (from_ < to_) return begins_on(at.day) && at.minute >= from_ && at.minute < to_;
  const int yesterday = (at.day + kDays - 1) % kDays;
  return (begins_on(at.day) && at.minute >= from_) || (begins_on(yesterday) && at.minute < to_);
}

bool WeeklyWindow::overlaps(const WeeklyWindow& other) const {
  for (int day = 0; day < kDays; ++day) {
    for (int minute = 0; minute < kDayMinutes; ++minute) {
      if (contains({day, minute}) && other.contains({day, minute})) return true;
    }
  }
  return false;
}

std::string WeeklyWindow::to_text() const {
  return fmt::format("{} {:02}:{:02}-{:02}:{:02}", days_text(days_), from_ / 60, from_ % 60, to_ / 60,
                     to_ % 60);
}

}  // namespace culvert
