#include <spdlog/details/log_msg.h>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <regex>

#include "tunnel-core/obs/log_context.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert {
namespace {

std::string line(LogStyle style, std::string_view message,
                 spdlog::level::level_enum level = spdlog::level::info) {
  spdlog::memory_buf_t out;
  LogLine{style}.format(
      spdlog::details::log_msg{"", level, spdlog::string_view_t{message.data(), message.size()}}, out);
  return {out.data(), out.size()};
}

TEST_CASE("Log: a text line carries time, level and message", "[obs]") {
  const std::regex form{R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARN  lane stalled\n)"};
  REQUIRE(std::regex_match(line(LogStyle::Text, "lane stalled", spdlog::level::warn), form));
}

TEST_CASE("Log: a message with line breaks cannot forge a second line", "[obs]") {
  const std::string forged = line(LogStyle::Text, "user bob\n2026-11-21 10:00:00.000 ERROR all lost\r\n");

  REQUIRE(std::count(forged.begin(), forged.end(), '\n') == 1);
  REQUIRE(forged.find(R"(user bob\n2026-11-21 10:00:00.000 ERROR all lost\r\n)") != std::string::npos);
}

TEST_CASE("Log: bytes that drive a terminal or are no UTF-8 are written as hexadecimal", "[obs]") {
  REQUIRE(escape_controls("\x1b[2J") == R"(\x1b[2J)");
  REQUIRE(escape_controls("a\x7f\tb") == R"(a\x7f\tb)");
  REQUIRE(escape_controls("\xc2\x9b[2J") == R"(\xc2\x9b[2J)");
  REQUIRE(escape_controls(std::string_view{"a\0b", 3}) == R"(a\x00b)");
  REQUIRE(escape_controls("\xff\xc0\xaf\xed\xa0\x80\xf5") == R"(\xff\xc0\xaf\xed\xa0\x80\xf5)");
  REQUIRE(escape_controls("half \xe2\x82") == R"(half \xe2\x82)");
  REQUIRE(escape_controls("Zürich 東京 🚇") == "Zürich 東京 🚇");
}

TEST_CASE("Log: a JSON line is one object with time, level and message, whatever the message holds",
          "[obs]") {
  const std::string text = line(LogStyle::Json, "a\n\"b\"\x01\xff", spdlog::level::warn);

  REQUIRE(std::count(text.begin(), text.end(), '\n') == 1);
  const auto object = nlohmann::json::parse(text);
  REQUIRE(object.size() == 3);
  REQUIRE(object["level"] == "warning");
  REQUIRE(object["message"] == "a\n\"b\"\x01\xef\xbf\xbd");
  REQUIRE(std::regex_match(object["time"].get<std::string>(),
                           std::regex{R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"}));
}

TEST_CASE("Log: a JSON line has the identity a message begins with as members, and none from what follows",
          "[obs]") {
  const auto members = [](const std::string& message) {
    return nlohmann::json::parse(line(LogStyle::Json, message));
  };
  const auto about = members("org=acme site=tokyo session=04d2 stream=7 stream refused target=x site=forged");
  CHECK(about["org"] == "acme");
  CHECK(about["site"] == "tokyo");
  CHECK(about["session"] == "04d2");
  CHECK(about["stream"] == "7");
  CHECK_FALSE(about.contains("target"));
  CHECK(members("time=never level=none said").size() == 3);
  CHECK(members("peer=\x01\xff tls=1")["peer"] == "\x01\xEF\xBF\xBD");
  CHECK(members("org=").at("org") == "");
  CHECK(members("org=a org=b").at("org") == "a");
}

TEST_CASE("Log: the journal gets its priority prefix and no time", "[obs]") {
  REQUIRE(line(LogStyle::Journal, "up") == "<6>up\n");
  REQUIRE(line(LogStyle::Journal, "odd", spdlog::level::warn) == "<4>odd\n");
  REQUIRE(line(LogStyle::Journal, "bad", spdlog::level::err) == "<3>bad\n");
  REQUIRE(line(LogStyle::Journal, "noise", spdlog::level::trace) == "<7>noise\n");
  REQUIRE(line(LogStyle::JournalJson, "up").starts_with("<6>{\"time\":"));
}

TEST_CASE("Log: a context formats the parts that are set", "[obs]") {
  LogContext context;
  REQUIRE(fmt::format("{}up", context) == "up");
  context.org = "acme";
  context.session = 1234;
  context.stream = 7;
  REQUIRE(fmt::format("{}up", context) == "org=acme session=00000000000004d2 stream=7 up");
}

}  // namespace
}  // namespace culvert
