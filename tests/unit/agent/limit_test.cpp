#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/unit/gateway/temp_dir.hpp"
#include "tunnel-agent/limit_service.hpp"
#include "tunnel-agent/limit_table.hpp"
#include "tunnel-core/net/steady_clock.hpp"

using namespace culvert;
using nlohmann::json;

namespace {

/// An agent's directory with one forward, and its commands without an agent that runs.
struct Files {
  TempDir dir;
  AgentConfig config;
  Files() {
    config.data_dir = dir.path();
    Forward forward;
    forward.name = forward.target = "dr-db";
    forward.port = 10003;
    REQUIRE(save_forward(config.forwards_dir(), forward));
  }
  Result<json> run(const std::string& command, json arguments = json::object()) {
    ForwardService forwards{config, nullptr};
    LimitService limits{config, {}};
    return execute_on_files(forwards, limits, {command, std::move(arguments)});
  }
  std::filesystem::path file(const char* name) const { return config.limits_dir() / name; }
};

BandwidthLimit limit_of(std::uint64_t up, std::uint64_t down) {
  return {{BitRate{up}, BitRate{down}}, {}};
}

}  // namespace

TEST_CASE("Limits: what is set is on the disk, is listed, and is read back", "[agent]") {
  Files files;
  REQUIRE(files.run("limit.set", {{"up", "100 Mbit/s"}}));
  REQUIRE(files.run("limit.set", {{"down", "unlimited"}}));
  REQUIRE(files.run("limit.set", {{"forward", "dr-db"}, {"down", "2 Mbit/s"}}));
  REQUIRE(
      files.run("limit.set",
                {{"forward", "dr-db"}, {"up", "1 Mbit/s"}, {"windows", json::array({"daily 00:00-24:00"})}}));
  struct stat made {};
  REQUIRE(::stat(files.file("site.toml").c_str(), &made) == 0);
  CHECK((made.st_mode & 0777) == 0600);

  const auto loaded = load_limits(files.config.limits_dir());
  REQUIRE(loaded);
  REQUIRE(loaded->size() == 2);
  CHECK(loaded->at("") == limit_of(100'000'000, 0));
  CHECK(loaded->at("dr-db").rates == Rates{BitRate{0}, BitRate{2'000'000}});
  CHECK(loaded->at("dr-db").rates_at({3, 700}).up == BitRate{1'000'000});

  const auto list = files.run("limit.list");
  REQUIRE(list);
  CHECK(list->at("limits").at(0).at("forward").is_null());
  CHECK(list->at("limits").at(1).at("forward") == "dr-db");
  CHECK(list->at("limits").at(1).at("now").at("window") == "daily 00:00-24:00");
  CHECK(list->contains("time_zone"));
}

TEST_CASE("Limits: removing the last rate removes the file; a forward takes its limit along", "[agent]") {
  Files files;
  REQUIRE(files.run("limit.set", {{"up", "100 Mbit/s"}}));
  REQUIRE(files.run("limit.remove"));
  CHECK_FALSE(std::filesystem::exists(files.file("site.toml")));
  CHECK(files.run("limit.remove").error().code() == Errc::NotFound);
  REQUIRE(files.run("limit.set", {{"forward", "dr-db"}, {"up", "1 Mbit/s"}}));
  REQUIRE(files.run("forward.remove", {{"name", "dr-db"}}));
  CHECK_FALSE(std::filesystem::exists(files.file("forward-dr-db.toml")));
}

TEST_CASE("Limits: what makes no sense is refused and changes nothing", "[agent]") {
  Files files;
  CHECK(files.run("limit.set").error().code() == Errc::UsageInvalid);
  CHECK(files.run("limit.set", {{"up", "fast"}}).error().code() == Errc::UsageInvalid);
  CHECK(files.run("limit.set", {{"forward", "nobody"}, {"up", "1 Mbit/s"}}).error().code() == Errc::NotFound);
  CHECK(files.run("limit.set", {{"up", "1 Mbit/s"}, {"windows", json::array({"noon"})}}).error().code() ==
        Errc::UsageInvalid);
  CHECK_FALSE(std::filesystem::exists(files.config.limits_dir()));
}

TEST_CASE("Limits: a broken file is named with its line", "[agent]") {
  Files files;
  std::filesystem::create_directory(files.config.limits_dir());
  const auto error_of = [&](const char* text) {
    std::ofstream{files.file("site.toml")} << text;
    const auto loaded = load_limits(files.config.limits_dir());
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code() == Errc::ConfigInvalid);
    return loaded.error().message();
  };
  CHECK_THAT(error_of("\nup = \"100 MB/s\"\n"),
             Catch::Contains("site.toml:2: up is '100 MB/s', must be a rate"));
  CHECK_THAT(error_of("windows = [\"mon 08:00-09:00 up 1 Mbit/s\", \"mon 08:30-10:00 up 2 Mbit/s\"]\n"),
             Catch::Contains("site.toml:1: windows cannot be used") && Catch::Contains("overlaps"));
  CHECK_THAT(error_of("upp = \"1 Mbit/s\"\n"), Catch::Contains("did you mean 'up'"));
  std::filesystem::remove(files.file("site.toml"));
  std::ofstream{files.file("tokyo.toml")} << "up = \"1 Mbit/s\"\n";
  CHECK_THAT(load_limits(files.config.limits_dir()).error().message(), Catch::Contains("limits nothing"));
}

TEST_CASE("LimitTable: limits are in force at once for streams that run, and change with the week",
          "[agent]") {
  boost::asio::io_context io;
  SteadyClock clock;
  // 2026-11-23 is a Monday; the host's time zone is read as it is.
  certs::UtcTime now{std::chrono::sys_days{std::chrono::year{2026} / 11 / 23} + std::chrono::hours{12}};
  LimitTable table{io, clock, [&] { return now; }};
  const StreamLimits& streams = table.of_forward("dr-db");
  CHECK_FALSE(streams.any[0]);
  CHECK_FALSE(streams.any[1]);
  CHECK(table.status().empty());

  table.set("", limit_of(8'000'000, 0));
  CHECK(streams.any[0]);
  CHECK_FALSE(streams.any[1]);
  table.set("dr-db", limit_of(0, 4'000'000));
  CHECK(streams.any[1]);
  REQUIRE(table.status().size() == 2);
  CHECK(table.status()[0].forward.empty());
  CHECK(table.status()[0].up_bits_per_s == 8'000'000);
  CHECK(table.status()[1].forward == "dr-db");
  CHECK_FALSE(table.status()[0].up_limiting);

  table.set("", {});
  table.set("dr-db", {});
  CHECK_FALSE(streams.any[0]);
  CHECK_FALSE(streams.any[1]);

  // A window from this minute of the host's clock on.
  const WeekMinute at = local_week_minute(now);
  const WeekMinute then = local_week_minute(now + std::chrono::minutes{1});
  char text[64];
  std::snprintf(text, sizeof text, "daily %02d:%02d-%02d:%02d", at.minute / 60, at.minute % 60,
                then.minute / 60, then.minute % 60);
  BandwidthLimit windowed = limit_of(8'000'000, 0);
  REQUIRE(windowed.set_window(*WeeklyWindow::parse(text), {BitRate{1'000'000}, std::nullopt}));
  table.set("", windowed);
  CHECK(table.status()[0].up_bits_per_s == 1'000'000);
  CHECK(streams.of[0][1]->rate() == BitRate{1'000'000});
  now += std::chrono::minutes{1};
  io.run_for(std::chrono::milliseconds{900});
  CHECK(streams.of[0][1]->rate() == BitRate{8'000'000});
  CHECK(table.status()[0].window.empty());
}
