#include <catch2/catch.hpp>
#include <cstdlib>
#include <ctime>

#include "tunnel-core/daemon/bandwidth_limit.hpp"
#include "tunnel-core/daemon/quantity.hpp"

namespace culvert {
namespace {

using nlohmann::json;

WeekMinute at(int day, int hour, int minute = 0) {
  return {day, hour * 60 + minute};
}

WeeklyWindow window(std::string_view text) {
  auto parsed = WeeklyWindow::parse(text);
  INFO(text);
  REQUIRE(parsed);
  return *parsed;
}

/// The process's time zone for one test, as a POSIX rule: needs no zone files.
class Zone {
 public:
  explicit Zone(const char* rule) {
    if (const char* const before = std::getenv("TZ")) before_ = before;
    ::setenv("TZ", rule, 1);
    ::tzset();
  }
  ~Zone() {
    before_.empty() ? ::unsetenv("TZ") : ::setenv("TZ", before_.c_str(), 1);
    ::tzset();
  }

 private:
  std::string before_;
};

std::chrono::sys_seconds utc(int year, unsigned month, unsigned day, int hour, int minute) {
  const std::chrono::sys_days date{std::chrono::year{year} / std::chrono::month{month} /
                                   std::chrono::day{day}};
  return date + std::chrono::hours{hour} + std::chrono::minutes{minute};
}

TEST_CASE("Quantity: rates are whole numbers with a decimal unit, or unlimited", "[daemon]") {
  REQUIRE(parse_rate("100 Mbit/s") == BitRate{100'000'000});
  REQUIRE(parse_rate("100Mbit/s") == BitRate{100'000'000});
  REQUIRE(parse_rate("64 kbit/s") == BitRate{64'000});
  REQUIRE(parse_rate("unlimited") == BitRate{0});
  for (const char* bad : {"", "100", "Mbit/s", "100 MB/s", "100 mbit/s", "100 Mbit", "0 bit/s", "-1 Mbit/s",
                          "1.5 Gbit/s", "99999999999 Gbit/s", "100 Mbit/s "}) {
    CAPTURE(bad);
    REQUIRE_FALSE(parse_rate(bad));
  }
  for (const std::uint64_t rate : {std::uint64_t{0}, std::uint64_t{64'000}, std::uint64_t{1'500'000}}) {
    REQUIRE(parse_rate(format_rate(BitRate{rate})) == BitRate{rate});
  }
  REQUIRE(format_rate(BitRate{1'500'000}) == "1500 kbit/s");
}

TEST_CASE("Weekly window: begins with its first minute and ends before its last", "[daemon]") {
  const WeeklyWindow office = window("mon-fri 08:00-18:00");
  REQUIRE_FALSE(office.contains(at(0, 7, 59)));
  REQUIRE(office.contains(at(0, 8)));
  REQUIRE(office.contains(at(4, 17, 59)));
  REQUIRE_FALSE(office.contains(at(4, 18)));
  REQUIRE_FALSE(office.contains(at(5, 12)));
  REQUIRE(window("sat,sun 00:00-24:00").contains(at(6, 23, 59)));
  REQUIRE_FALSE(window("sat,sun 00:00-24:00").contains(at(0, 0)));
}

TEST_CASE(
    "Weekly window: one that ends in the night goes on into the next day, round the end of the week too",
    "[daemon]") {
  const WeeklyWindow night = window("sun 22:00-06:00");
  REQUIRE(night.contains(at(6, 22)));
  REQUIRE(night.contains(at(0, 5, 59)));
  REQUIRE_FALSE(night.contains(at(0, 6)));
  REQUIRE_FALSE(night.contains(at(6, 5)));
  REQUIRE(window("fri-mon 10:00-11:00").contains(at(0, 10)));
  REQUIRE_FALSE(window("fri-mon 10:00-11:00").contains(at(1, 10)));
  const WeeklyWindow whole_day = window("mon 08:00-08:00");
  REQUIRE(whole_day.contains(at(0, 8)));
  REQUIRE(whole_day.contains(at(1, 7, 59)));
  REQUIRE_FALSE(whole_day.contains(at(1, 8)));
}

TEST_CASE("Weekly window: what it writes it reads back", "[daemon]") {
  for (const char* text :
       {"mon-fri 08:00-18:00", "daily 22:00-06:00", "mon,wed,fri-sun 00:00-24:00", "sat,sun 01:05-02:10"}) {
    REQUIRE(window(text).to_text() == text);
  }
  REQUIRE(window("fri-mon 10:00-00:00").to_text() == "mon,fri-sun 10:00-24:00");
  REQUIRE(window("mon-sun 10:00-11:00") == window("daily 10:00-11:00"));
}

TEST_CASE("Weekly window: a mistake is named with the right way to write it", "[daemon]") {
  for (const char* bad :
       {"", "mon", "mon-fri", "mon-fri 8:00-18:00", "mon-fri 08:00", "mon-fri 08:00-25:00",
        "mon-fri 08:60-18:00", "mon-fri 24:00-08:00", "Mon 08:00-18:00", "mon- 08:00-18:00",
        "mon, 08:00-18:00", "xyz 08:00-18:00", "mon-fri 08:00-18:00 ", "mon  08:00-18:00"}) {
    CAPTURE(bad);
    const auto parsed = WeeklyWindow::parse(bad);
    REQUIRE_FALSE(parsed);
    REQUIRE(parsed.error().code() == Errc::UsageInvalid);
    REQUIRE(parsed.error().message().find("mon-fri 08:00-18:00") != std::string::npos);
  }
}

TEST_CASE("Weekly window: the wall clock decides when summer time begins and ends", "[daemon]") {
  const Zone berlin{"CET-1CEST,M3.5.0,M10.5.0/3"};
  const WeeklyWindow early = window("sun 02:00-03:00");
  // 2026-03-29: 01:59 is followed by 03:00, so the hour of the window does not come.
  for (int minute = 0; minute < 24 * 60; ++minute) {
    const auto time = utc(2026, 3, 28, 23, 0) + std::chrono::minutes{minute};
    REQUIRE_FALSE(early.contains(local_week_minute(time)));
  }
  // 2026-10-25: the hour comes twice.
  int minutes = 0;
  for (int minute = 0; minute < 24 * 60; ++minute) {
    const auto time = utc(2026, 10, 24, 22, 0) + std::chrono::minutes{minute};
    if (early.contains(local_week_minute(time))) ++minutes;
  }
  REQUIRE(minutes == 120);
  // Eight o'clock is eight o'clock in both halves of the year.
  const WeeklyWindow office = window("mon-fri 08:00-18:00");
  REQUIRE(office.contains(local_week_minute(utc(2026, 1, 5, 7, 0))));
  REQUIRE_FALSE(office.contains(local_week_minute(utc(2026, 1, 5, 6, 59))));
  REQUIRE(office.contains(local_week_minute(utc(2026, 7, 6, 6, 0))));
  REQUIRE_FALSE(office.contains(local_week_minute(utc(2026, 7, 6, 5, 59))));
  REQUIRE(local_zone_name(utc(2026, 1, 5, 7, 0)) == "CET");
  REQUIRE(local_zone_name(utc(2026, 7, 6, 6, 0)) == "CEST");
}

TEST_CASE("Bandwidth limit: a window's rates hold in it, the others outside; what it does not name stays",
          "[daemon]") {
  BandwidthLimit limit;
  REQUIRE(limit.empty());
  REQUIRE(LimitChange::read(json{{"up", "500 Mbit/s"}, {"down", "100Mbit/s"}})->apply(limit));
  REQUIRE(LimitChange::read(json{{"up", "20 Mbit/s"}, {"windows", {"mon-fri 08:00-18:00"}}})->apply(limit));
  REQUIRE(LimitChange::read(json{{"down", "unlimited"}, {"windows", {"sat 00:00-24:00"}}})->apply(limit));
  REQUIRE(limit.rates_at(at(0, 7)) == Rates{BitRate{500'000'000}, BitRate{100'000'000}});
  REQUIRE(limit.rates_at(at(0, 8)) == Rates{BitRate{20'000'000}, BitRate{100'000'000}});
  REQUIRE(limit.rates_at(at(5, 8)) == Rates{BitRate{500'000'000}, BitRate{0}});
  // The same window again is a change of its rates.
  REQUIRE(LimitChange::read(json{{"down", "5 Mbit/s"}, {"windows", {"mon-fri 08:00-18:00"}}})->apply(limit));
  REQUIRE(limit.windows.size() == 2);
  REQUIRE(limit.rates_at(at(0, 8)) == Rates{BitRate{20'000'000}, BitRate{5'000'000}});
  REQUIRE(LimitChange::read(json{{"windows", {"mon-fri 08:00-18:00"}}})->remove_from(limit));
  REQUIRE(limit.rates_at(at(0, 8)).up == BitRate{500'000'000});
  REQUIRE(LimitChange::read(json::object())->remove_from(limit));
  REQUIRE(limit.empty());
}

TEST_CASE("Bandwidth limit: overlapping windows, unknown ones and rates out of range are refused by name",
          "[daemon]") {
  BandwidthLimit limit;
  const NamedRates slow{BitRate{1'000'000}, std::nullopt};
  REQUIRE(limit.set_window(window("mon-fri 08:00-18:00"), slow));
  const auto overlapping = limit.set_window(window("thu 17:59-20:00"), slow);
  REQUIRE(overlapping.error().message().find("mon-fri 08:00-18:00") != std::string::npos);
  REQUIRE(limit.set_window(window("thu 18:00-20:00"), slow));
  REQUIRE(limit.set_window(window("sun 22:00-08:00"), slow));
  REQUIRE_FALSE(limit.set_window(window("mon 07:00-07:30"), slow));
  REQUIRE(limit.remove_window(window("tue 01:00-02:00")).error().code() == Errc::NotFound);
  for (const char* bad : {"63999 bit/s", "101 Gbit/s", "fast", "100 MB/s"}) {
    const auto change = LimitChange::read(json{{"up", bad}});
    REQUIRE_FALSE(change);
    REQUIRE(change.error().message().find("--up is '" + std::string{bad}) == 0);
  }
}

TEST_CASE("Bandwidth limit: a window with its rates is one line that is read back", "[daemon]") {
  for (const char* text :
       {"mon-fri 08:00-18:00 up 20 Mbit/s down unlimited", "daily 22:00-06:00 down 1 Gbit/s"}) {
    const auto parsed = RateWindow::parse(text);
    REQUIRE(parsed);
    REQUIRE(parsed->to_text() == text);
  }
  for (const char* bad : {"mon-fri 08:00-18:00", "up 20 Mbit/s", "mon 08:00-18:00 up 20",
                          "mon 08:00-18:00 up 1 Gbit/s up 1 Gbit/s"}) {
    CAPTURE(bad);
    REQUIRE(RateWindow::parse(bad).error().code() == Errc::UsageInvalid);
  }
}

TEST_CASE("Bandwidth limit: as JSON it tells what holds now", "[daemon]") {
  BandwidthLimit limit;
  limit.rates.up = BitRate{500'000'000};
  REQUIRE(limit.set_window(window("mon 08:00-18:00"), {BitRate{1'000'000}, std::nullopt}));
  const json shown = to_json(limit, at(0, 9));
  REQUIRE(shown.at("up_bits_per_s") == 500'000'000);
  REQUIRE(shown.at("down_bits_per_s").is_null());
  REQUIRE(shown.at("windows").at(0).at("window") == "mon 08:00-18:00");
  REQUIRE_FALSE(shown.at("windows").at(0).contains("down_bits_per_s"));
  REQUIRE(shown.at("now").at("up_bits_per_s") == 1'000'000);
  REQUIRE(to_json(limit, at(0, 18)).at("now").at("window").is_null());
  REQUIRE(rate_text(shown.at("now"), "down_bits_per_s") == "unlimited");
}

}  // namespace
}  // namespace culvert
