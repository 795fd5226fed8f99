#include <catch2/catch.hpp>

#include "tests/support/temp_dir.hpp"
#include "tunnel-core/daemon/config_reader.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {
namespace {

namespace fs = std::filesystem;

struct Settings {
  std::string name = "unnamed";
  fs::path key;
  bool verify = true;
  std::uint64_t port = 443;
  ByteCount memory = 64_MiB;
  Duration drain = 30s;
  std::string level = "info";
  std::vector<std::string> allow{"10.0.0.0/8"};
};

/// Reads `toml` as a file that knows the keys of Settings.
class Reading {
 public:
  explicit Reading(std::string_view toml) {
    const auto written = write_file(file(), toml, 0600);
    REQUIRE(written);
    auto config = ConfigReader::open(file());
    if (!config) {
      error_ = config.error();
      return;
    }
    config->text("name", settings_.name);
    config->path("tls.key", settings_.key);
    config->flag("tls.verify", settings_.verify);
    config->number("listen.port", settings_.port, 1, 65535);
    config->bytes("limits.session_memory", settings_.memory, 8_MiB, 4_GiB);
    config->duration("limits.drain_timeout", settings_.drain, 0s, 1h);
    config->choice("log.level", settings_.level, {"debug", "info", "error"});
    config->text_list("listen.allow_from", settings_.allow);
    if (settings_.name == "nobody") config->reject("name", "is taken; choose another");
    if (settings_.name == "absent") config->reject("url", "is missing");
    if (auto finished = config->finish(); !finished) error_ = finished.error();
  }

  const Settings& settings() const { return settings_; }
  fs::path file() const { return dir_.path() / "gateway.toml"; }
  /// The error without the directory: `gateway.toml:1: …`
  std::string error() const {
    if (!error_) return "";
    std::string text = error_->message();
    const std::string directory = dir_.path().string() + "/";
    if (const auto at = text.find(directory); at != std::string::npos) text.erase(at, directory.size());
    return text;
  }
  Errc code() const { return error_->code(); }

 private:
  TempDir dir_;
  Settings settings_;
  std::optional<Error> error_;
};

TEST_CASE("Config: every kind of value is read", "[daemon]") {
  const Reading reading{R"(
name = "gw"
[tls]
key = "keys/server.pem"
verify = false
[listen]
port = 8443
allow_from = ["10.0.0.0/8", "::1"]
[limits]
session_memory = "512 MiB"
drain_timeout = "10 min"
[log]
level = "debug"
)"};
  REQUIRE(reading.error().empty());
  const Settings& settings = reading.settings();
  REQUIRE(settings.name == "gw");
  REQUIRE(settings.key == reading.file().parent_path() / "keys/server.pem");
  REQUIRE_FALSE(settings.verify);
  REQUIRE(settings.port == 8443);
  REQUIRE(settings.allow == std::vector<std::string>{"10.0.0.0/8", "::1"});
  REQUIRE(settings.memory == 512_MiB);
  REQUIRE(settings.drain == 10min);
  REQUIRE(settings.level == "debug");
}

TEST_CASE("Config: what is absent keeps its default", "[daemon]") {
  const Reading reading{""};
  REQUIRE(reading.error().empty());
  REQUIRE(reading.settings().port == 443);
  REQUIRE(reading.settings().key.empty());
}

TEST_CASE("Config: a path from the root stays, and an integer is a size in bytes", "[daemon]") {
  const Reading reading{"tls.key = \"/etc/x.pem\"\nlimits.session_memory = 16777216"};
  REQUIRE(reading.error().empty());
  REQUIRE(reading.settings().key == "/etc/x.pem");
  REQUIRE(reading.settings().memory == 16_MiB);
}

TEST_CASE("Config: a value out of range is shown with file, line and range", "[daemon]") {
  REQUIRE(Reading{"\n[limits]\nsession_memory = \"4 KiB\""}.error() ==
          "gateway.toml:3: limits.session_memory is \"4 KiB\", must be between 8 MiB and 4 GiB");
  REQUIRE(Reading{"listen.port = 0"}.error() ==
          "gateway.toml:1: listen.port is 0, must be a whole number between 1 and 65535");
  REQUIRE(Reading{"listen.port = -1"}.error() ==
          "gateway.toml:1: listen.port is -1, must be a whole number between 1 and 65535");
  REQUIRE(Reading{"limits.drain_timeout = \"2 h\""}.error() ==
          "gateway.toml:1: limits.drain_timeout is \"2 h\", must be between 0 ms and 1 h");
  REQUIRE(Reading{"log.level = \"loud\""}.error() ==
          "gateway.toml:1: log.level is \"loud\", must be \"debug\", \"info\" or \"error\"");
}

TEST_CASE("Config: a value of the wrong type is shown with what it must be", "[daemon]") {
  REQUIRE(Reading{"name = 7"}.error() == "gateway.toml:1: name is 7, must be text in quotes");
  REQUIRE(Reading{"tls.key = [1]"}.error() == "gateway.toml:1: tls.key is a list, must be a path in quotes");
  REQUIRE(Reading{"tls.verify = \"no\""}.error() ==
          "gateway.toml:1: tls.verify is \"no\", must be true or false, without quotes");
  REQUIRE(Reading{"listen.port = \"443\""}.error() ==
          "gateway.toml:1: listen.port is \"443\", must be a whole number between 1 and 65535");
  REQUIRE(Reading{"limits.session_memory = \"64 MB\""}.error() ==
          "gateway.toml:1: limits.session_memory is \"64 MB\", must be a size such as \"64 MiB\" (B, KiB, "
          "MiB, GiB), "
          "between 8 MiB and 4 GiB");
  REQUIRE(Reading{"limits.drain_timeout = 30"}.error() ==
          "gateway.toml:1: limits.drain_timeout is 30, must be a time such as \"30 s\" (ms, s, min, h, d), "
          "between "
          "0 ms and 1 h");
  REQUIRE(
      Reading{"listen.allow_from = \"::1\""}.error() ==
      "gateway.toml:1: listen.allow_from is \"::1\", must be a list of texts, such as [\"one\", \"two\"]");
  REQUIRE(Reading{"[listen]\nallow_from = [\"::1\",\n7]"}.error() ==
          "gateway.toml:3: listen.allow_from number 2 is 7, must be text in quotes");
  REQUIRE(Reading{"tls = 1"}.error() == "gateway.toml:1: tls is 1, must be a table: write [tls]");
}

TEST_CASE("Config: a mistake leaves the value and everything after it at its default", "[daemon]") {
  const Reading reading{"tls.verify = 3\nlisten.port = 8443"};
  REQUIRE_FALSE(reading.error().empty());
  REQUIRE(reading.settings().verify);
  REQUIRE(reading.settings().port == 443);
}

TEST_CASE("Config: an unknown key is refused with the nearest known name", "[daemon]") {
  REQUIRE(Reading{"\n\n[limits]\nsesion_memory = \"64 MiB\""}.error() ==
          "gateway.toml:4: unknown key 'sesion_memory' in [limits]; did you mean 'session_memory'?");
  REQUIRE(Reading{"nmae = \"x\""}.error() == "gateway.toml:1: unknown key 'nmae'; did you mean 'name'?");
  REQUIRE(Reading{"[log]\ndrain_timeout = \"1 s\""}.error() ==
          "gateway.toml:2: unknown key 'drain_timeout' in [log]; did you mean 'drain_timeout' in [limits]?");
  REQUIRE(Reading{"[limits]\nname = \"x\""}.error() ==
          "gateway.toml:2: unknown key 'name' in [limits]; did you mean 'name' above the first table?");
  REQUIRE(
      Reading{"[limits]\nqqqqqqqq = 1"}.error() ==
      "gateway.toml:2: unknown key 'qqqqqqqq' in [limits]; known there: drain_timeout and session_memory");
}

TEST_CASE("Config: an unknown table is refused, however it is written", "[daemon]") {
  REQUIRE(Reading{"[limit]\nsession_memory = \"64 MiB\""}.error() ==
          "gateway.toml:1: unknown table 'limit'; did you mean 'limits'?");
  REQUIRE(Reading{"[[limits]]\nsession_memory = \"64 MiB\""}.error() ==
          "gateway.toml:1: limits is a list, must be a table: write [limits]");
  REQUIRE(Reading{"[log.level2]"}.error() ==
          "gateway.toml:1: unknown table 'level2' in [log]; did you mean 'level'?");
  REQUIRE(Reading{"\"log.level\" = \"info\""}.error().starts_with("gateway.toml:1: unknown key 'log.level'"));
}

TEST_CASE("Config: of several unknown keys the first in the file is named", "[daemon]") {
  REQUIRE(Reading{"[tls]\nzzzz = 1\n[limits]\naaaa = 1"}.error().starts_with(
      "gateway.toml:2: unknown key 'zzzz'"));
}

TEST_CASE("Config: an unknown key is named before every other mistake, which it may explain", "[daemon]") {
  REQUIRE(Reading{"name = \"absent\"\n[listen]\nprot = 3"}.error() ==
          "gateway.toml:3: unknown key 'prot' in [listen]; did you mean 'port'?");
  REQUIRE(Reading{"listen.port = 0\n[limit]\nx = 1"}.error().starts_with(
      "gateway.toml:2: unknown table 'limit'"));
  REQUIRE(Reading{"nmae = \"gw\"\n[tls]\nverify = 3"}.error() ==
          "gateway.toml:1: unknown key 'nmae'; did you mean 'name'?");
}

TEST_CASE("Config: broken TOML is refused with line and column", "[daemon]") {
  const Reading reading{"name = \"x\"\nport = = 3"};
  REQUIRE(reading.code() == Errc::ConfigInvalid);
  REQUIRE(reading.error().starts_with("gateway.toml:2:8: "));
  REQUIRE(Reading{"name = \"x\"\nname = \"y\""}.error().starts_with("gateway.toml:2:"));
  REQUIRE(Reading{"name = \"\xff\""}.error().starts_with("gateway.toml:1:"));
  REQUIRE(Reading{std::string(5000, '[')}.error().starts_with("gateway.toml:1:"));
  REQUIRE(Reading{std::string_view{"\0\0\0", 3}}.error().starts_with("gateway.toml:1:"));
}

TEST_CASE("Config: control characters of a value do not reach the terminal", "[daemon]") {
  REQUIRE(Reading{R"(log.level = "\u001b[2J\n")"}.error() ==
          "gateway.toml:1: log.level is \"\\x1b[2J\\n\", must be \"debug\", \"info\" or \"error\"");
}

TEST_CASE("Config: a value that parsed can be rejected with its line, a missing one with its file",
          "[daemon]") {
  REQUIRE(Reading{"\nname = \"nobody\""}.error() == "gateway.toml:2: name is taken; choose another");
  REQUIRE(Reading{"name = \"absent\""}.error() == "gateway.toml: url is missing");
}

TEST_CASE("Config: a file that does not exist is told with the option that names it", "[daemon]") {
  const TempDir dir;
  const auto config = ConfigReader::open(dir.path() / "agent.toml");
  REQUIRE(config.error().code() == Errc::NotFound);
  REQUIRE(config.error().message().find("--config PATH") != std::string::npos);
  REQUIRE(ConfigReader::open(dir.path()).error().code() == Errc::FileUnreadable);
}

}  // namespace
}  // namespace culvert
