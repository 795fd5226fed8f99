// A bandwidth limit as it is set and kept: rates, and weekly windows with rates of their own. Which streams
// it is for, and how it is held, is known elsewhere (docs/operations.md, "Bandwidth limits").
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/units.hpp"
#include "tunnel-core/daemon/weekly_window.hpp"

namespace culvert {

constexpr BitRate kMinRate{64'000};  ///< Below it one packet is more than the 2 % that are promised.
constexpr BitRate kMaxRate{100'000'000'000};
constexpr std::size_t kMaxRateWindows = 100;

/// 0: unlimited.
struct Rates {
  BitRate up;    ///< From sources to targets.
  BitRate down;  ///< From targets to sources.
  friend bool operator==(const Rates&, const Rates&) = default;
};

/// What somebody named; the rest stays as it is.
struct NamedRates {
  std::optional<BitRate> up;
  std::optional<BitRate> down;
  friend bool operator==(const NamedRates&, const NamedRates&) = default;
};

struct RateWindow {
  WeeklyWindow window;
  NamedRates rates;  ///< A direction without a rate has the one that holds outside of windows.

  /// `mon-fri 08:00-18:00 up 20 Mbit/s down unlimited`.
  std::string to_text() const;
  /// @error UsageInvalid.
  static Result<RateWindow> parse(std::string_view text);
  friend bool operator==(const RateWindow&, const RateWindow&) = default;
};

struct BandwidthLimit {
  Rates rates;  ///< Outside of all windows.
  std::vector<RateWindow> windows;

  /// Null outside of all windows.
  const RateWindow* window_at(WeekMinute at) const;
  Rates rates_at(WeekMinute at) const;
  /// True when it can never limit anything.
  bool empty() const;

  /// Adds one that is new, or gives new rates to one that is there.
  /// @error UsageInvalid: it overlaps another, or there are too many.
  Result<void> set_window(const WeeklyWindow& window, const NamedRates& rates);
  /// @error NotFound naming those there are.
  Result<void> remove_window(const WeeklyWindow& window);

  friend bool operator==(const BandwidthLimit&, const BandwidthLimit&) = default;
};

/// A rate within kMinRate to kMaxRate, or `unlimited`.
/// @param name  what it is called, for the message: `--up`.
/// @error UsageInvalid.
Result<BitRate> parse_limit_rate(std::string_view name, std::string_view text);

/// One `limit set` or `limit remove`: {up?, down?, windows?: [text]}. Rates go into the windows that are
/// named, otherwise they are those outside of windows.
struct LimitChange {
  NamedRates rates;
  std::vector<WeeklyWindow> windows;

  bool names_a_rate() const { return rates.up || rates.down; }
  /// @error UsageInvalid.
  static Result<LimitChange> read(const nlohmann::json& arguments);
  /// @error of BandwidthLimit::set_window(); `limit` may be half changed then.
  Result<void> apply(BandwidthLimit& limit) const;
  /// @error of BandwidthLimit::remove_window(); likewise.
  Result<void> remove_from(BandwidthLimit& limit) const;
};

/// {up_bits_per_s, down_bits_per_s (null: unlimited), windows: [{window, up_bits_per_s, down_bits_per_s}],
/// now: {window | null, up_bits_per_s, down_bits_per_s}}. A direction that a window does not name is not in
/// it.
nlohmann::json to_json(const BandwidthLimit& limit, WeekMinute now);

/// For a table: `20 Mbit/s` from the number in such an object, `unlimited` from null.
std::string rate_text(const nlohmann::json& object, const char* key);

}  // namespace culvert
