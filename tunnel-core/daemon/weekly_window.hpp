// A part of the week as people write it, `mon-fri 08:00-18:00`, on the host's own wall clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert {

/// What the clock on the wall shows, without the date.
struct WeekMinute {
  int day = 0;     ///< 0 Monday to 6 Sunday.
  int minute = 0;  ///< Since midnight, 0 to 1439.
};

/// In the host's time zone as it is at that moment, summer time included.
WeekMinute local_week_minute(std::chrono::sys_seconds time);
/// The abbreviation of the host's time zone at that moment: `CET`.
std::string local_zone_name(std::chrono::sys_seconds time);

class WeeklyWindow {
 public:
  /// DAYS HH:MM-HH:MM. DAYS: `daily`, or days and ranges of them with commas: `mon-wed,fri`; a range may go
  /// round the end of the week (`fri-mon`). 24:00 ends a day; an end that is not after the beginning is on
  /// the next day.
  /// @error UsageInvalid with what was written and how it is written right.
  static Result<WeeklyWindow> parse(std::string_view text);

  bool contains(WeekMinute at) const;
  bool overlaps(const WeeklyWindow& other) const;
  /// Always the same for the same window; parse() reads it back.
  std::string to_text() const;

  friend bool operator==(const WeeklyWindow&, const WeeklyWindow&) = default;

 private:
  WeeklyWindow(unsigned days, int from, int to) : days_(days), from_(from), to_(to) {}
  bool begins_on(int day) const { return (days_ >> day & 1U) != 0; }

  unsigned days_;  ///< Bit 0 is Monday: the days on which it begins.
  int from_;       ///< Minutes since midnight, 0 to 1439.
  int to_;         ///< 1 to 1440; not above from_: of the day after.
};

}  // namespace culvert
