#include "tunnel-core/daemon/bandwidth_limit.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "tunnel-core/daemon/quantity.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

using nlohmann::json;

namespace {

constexpr std::string_view kUp = " up ";
constexpr std::string_view kDown = " down ";

json rate_json(BitRate rate) {
  return rate.value == 0 ? json(nullptr) : json(rate.value);
}

Result<void> read_rate(const json& arguments, const char* key, std::optional<BitRate>& out) {
  const auto found = arguments.find(key);
  if (found == arguments.end()) return {};
  auto rate = parse_limit_rate(std::string{"--"} + key, found->get<std::string>());
  if (!rate) return std::move(rate).error();
  out = *rate;
  return {};
}

}  // namespace

Result<BitRate> parse_limit_rate(std::string_view name, std::string_view text) {
  const auto rate = parse_rate(text);
  if (rate && (rate->value == 0 || (*rate >= kMinRate && *rate <= kMaxRate))) return *rate;
  return Error{
      Errc::UsageInvalid,
      fmt::format("{} is '{}', must be a rate such as '100 Mbit/s' (bit/s, kbit/s, Mbit/s, Gbit/s) "
                  "from {} to {}, or 'unlimited'",
                  name, escape_controls(text.substr(0, 40)), format_rate(kMinRate), format_rate(kMaxRate))};
}

std::string RateWindow::to_text() const {
  std::string text = window.to_text();
  if (rates.up) text += std::string{kUp} + format_rate(*rates.up);
  if (rates.down) text += std::string{kDown} + format_rate(*rates.down);
  return text;
}

Result<RateWindow> RateWindow::parse(std::string_view text) {
  std::string_view rest = text;
  NamedRates rates;
  if (const std::size_t at = rest.find(kDown); at != std::string_view::npos) {
    auto rate = parse_limit_rate("the rate behind 'down'", rest.substr(at + kDown.size()));
    if (!rate) return std::move(rate).error();
    rates.down = *rate;
    rest = rest.substr(0, at);
  }
  if (const std::size_t at = rest.find(kUp); at != std::string_view::npos) {
    auto rate = parse_limit_rate("the rate behind 'up'", rest.substr(at + kUp.size()));
    if (!rate) return std::move(rate).error();
    rates.up = *rate;
    rest = rest.substr(0, at);
  }
  auto window = WeeklyWindow::parse(rest);
  if (!window) return std::move(window).error();
  if (!rates.up && !rates.down) {
    return Error{
        Errc::UsageInvalid,
        fmt::format("the window '{}' has no rate; write '{} up 20 Mbit/s down 20 Mbit/s', or one of the two",
                    window->to_text(), window->to_text())};
  }
  return RateWindow{*window, rates};
}

const RateWindow* BandwidthLimit::window_at(WeekMinute at) const {
  const auto found =
      std::ranges::find_if(windows, [&](const RateWindow& window) { return window.window.contains(at); });
  return found == windows.end() ? nullptr : &*found;
}

Rates BandwidthLimit::rates_at(WeekMinute at) const {
  const RateWindow* const window = window_at(at);
  if (window == nullptr) return rates;
  return {window->rates.up.value_or(rates.up), window->rates.down.value_or(rates.down)};
}

bool BandwidthLimit::empty() const {
  return rates == Rates{} && windows.empty();
}

Result<void> BandwidthLimit::set_window(const WeeklyWindow& window, const NamedRates& named) {
  for (RateWindow& known : windows) {
    if (known.window == window) {
      if (named.up) known.rates.up = named.up;
      if (named.down) known.rates.down = named.down;
      return {};
    }
    if (known.window.overlaps(window)) {
      return Error{
          Errc::UsageInvalid,
          fmt::format("the window '{}' overlaps '{}'; remove that one first, or choose times beside it",
                      window.to_text(), known.window.to_text())};
    }
  }
  if (windows.size() >= kMaxRateWindows)
    return Error{Errc::UsageInvalid,
                 fmt::format("a limit has at most {} windows; remove one first", kMaxRateWindows)};
  windows.push_back({window, named});
  std::ranges::sort(windows, {}, &RateWindow::to_text);
  return {};
}

Result<void> BandwidthLimit::remove_window(const WeeklyWindow& window) {
  if (std::erase_if(windows, [&](const RateWindow& known) { return known.window == window; }) > 0) return {};
  std::string known;
  for (const RateWindow& one : windows) known += (known.empty() ? "" : ", ") + one.window.to_text();
  return Error{Errc::NotFound, fmt::format("the limit has no window '{}'; it has {}", window.to_text(),
                                           known.empty() ? "none" : known)};
}

Result<LimitChange> LimitChange::read(const json& arguments) {
  LimitChange change;
  if (auto read = read_rate(arguments, "up", change.rates.up); !read) return std::move(read).error();
  if (auto read = read_rate(arguments, "down", change.rates.down); !read) return std::move(read).error();
  for (const std::string& text : arguments.value("windows", std::vector<std::string>{})) {
    auto window = WeeklyWindow::parse(text);
    if (!window) return std::move(window).error();
    change.windows.push_back(*window);
  }
  return change;
}

Result<void> LimitChange::apply(BandwidthLimit& limit) const {
  if (windows.empty()) {
    if (rates.up) limit.rates.up = *rates.up;
    if (rates.down) limit.rates.down = *rates.down;
  }
  for (const WeeklyWindow& window : windows) {
    if (auto set = limit.set_window(window, rates); !set) return set;
  }
  return {};
}

Result<void> LimitChange::remove_from(BandwidthLimit& limit) const {
  if (windows.empty()) limit = {};
  for (const WeeklyWindow& window : windows) {
    if (auto removed = limit.remove_window(window); !removed) return removed;
  }
  return {};
}

json to_json(const BandwidthLimit& limit, WeekMinute now) {
  json windows = json::array();
  for (const RateWindow& window : limit.windows) {
    json entry{{"window", window.window.to_text()}};
    if (window.rates.up) entry["up_bits_per_s"] = rate_json(*window.rates.up);
    if (window.rates.down) entry["down_bits_per_s"] = rate_json(*window.rates.down);
    windows.push_back(std::move(entry));
  }
  const RateWindow* const window = limit.window_at(now);
  const Rates rates = limit.rates_at(now);
  return {{"up_bits_per_s", rate_json(limit.rates.up)},
          {"down_bits_per_s", rate_json(limit.rates.down)},
          {"windows", std::move(windows)},
          {"now",
           {{"window", window == nullptr ? json(nullptr) : json(window->window.to_text())},
            {"up_bits_per_s", rate_json(rates.up)},
            {"down_bits_per_s", rate_json(rates.down)}}}};
}

std::string rate_text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "-";
  return format_rate(found->is_number() ? BitRate{found->get<std::uint64_t>()} : BitRate{});
}

}  // namespace culvert
