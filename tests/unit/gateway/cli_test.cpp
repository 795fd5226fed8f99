#include "cloud-gateway/cli.hpp"

#include <catch2/catch.hpp>

#include "cloud-gateway/cli_render.hpp"
#include "tests/unit/gateway/store_fixture.hpp"

namespace culvert {

using nlohmann::json;

namespace {

Result<CliParse> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "culvert-gateway");
  return parse_cli(static_cast<int>(words.size()), words.data());
}

CliCommand command(const std::vector<const char*>& words) {
  auto parsed = must(parse(words));
  REQUIRE(parsed.command);
  return *parsed.command;
}

}  // namespace

TEST_CASE("Cli: init takes directory, hostname, addresses and URL", "[cli]") {
  const auto typed = command({"init", "--data", "/d", "--hostname", "gw.example.net"});
  CHECK(typed.kind == CliCommand::Kind::Init);
  CHECK(typed.init.data_dir == "/d");
  CHECK(typed.init.hostname == "gw.example.net");
  CHECK(typed.init.listen == std::vector<std::string>{"0.0.0.0:443"});

  const auto more = command({"init", "--data", "/d", "--hostname", "gw", "--listen", "127.0.0.1:1",
                             "--listen", "[::1]:1", "--public-url", "https://x:2"});
  CHECK(more.init.listen == std::vector<std::string>{"127.0.0.1:1", "[::1]:1"});
  CHECK(more.init.public_url == "https://x:2");
}

TEST_CASE("Cli: --config stands after any command's arguments and has a default", "[cli]") {
  CHECK(command({"run"}).config == "/etc/culvert/gateway.toml");
  CHECK(command({"run", "--config", "/d/gateway.toml"}).config == "/d/gateway.toml");
  const std::vector<std::vector<const char*>> commands = {{"org", "add", "acme"},
                                                          {"org", "list"},
                                                          {"org", "remove", "acme"},
                                                          {"target", "add", "acme", "db", "db:1"},
                                                          {"target", "list"},
                                                          {"target", "list", "acme"},
                                                          {"site", "list"},
                                                          {"target", "remove", "acme", "db"},
                                                          {"status"},
                                                          {"site", "remove", "acme", "tokyo"},
                                                          {"site", "list", "acme"},
                                                          {"join-token", "acme", "tokyo"}};
  for (auto words : commands) {
    words.push_back("--config");
    words.push_back("/d/gateway.toml");
    const auto typed = command(words);
    CHECK(typed.kind == CliCommand::Kind::Admin);
    CHECK(typed.config == "/d/gateway.toml");
    words.push_back("--help");
    CHECK_THAT(must(parse(words)).text, Catch::Contains("Example:"));
  }
}

TEST_CASE("Cli: arguments reach the admin command by name", "[cli]") {
  const auto typed = command({"target", "add", "acme", "dr-db", "db.dr.internal:5432"});
  CHECK(typed.admin_command == "target.add");
  CHECK(typed.arguments == json{{"org", "acme"}, {"target", "dr-db"}, {"address", "db.dr.internal:5432"}});
  CHECK(command({"target", "list"}).arguments == json::object());
  CHECK(command({"target", "list", "acme", "--json"}).json);
  CHECK_FALSE(command({"target", "list", "acme"}).json);
  CHECK(command({"join-token", "acme", "tokyo"}).arguments == json{{"org", "acme"}, {"site", "tokyo"}});
}

TEST_CASE("Cli: wrong usage names the help that fits", "[cli]") {
  const std::vector<std::pair<std::vector<const char*>, std::string>> mistakes = {
      {std::vector<const char*>{}, "culvert-gateway"},
      {{"dance"}, "culvert-gateway"},
      {{"org"}, "culvert-gateway org"},
      {{"org", "add"}, "culvert-gateway org add"},
      {{"org", "add", "a", "b"}, "culvert-gateway org add"},
      {{"org", "add", "a", "--json"}, "culvert-gateway org add"},
      {{"init", "--data", "/d"}, "culvert-gateway init"},
      {{"run", "--config"}, "culvert-gateway run"},
  };
  for (const auto& [words, help] : mistakes) {
    const auto parsed = parse(words);
    REQUIRE_FALSE(parsed);
    INFO(parsed.error().to_string());
    CHECK(parsed.error().code() == Errc::UsageInvalid);
    CHECK_THAT(parsed.error().message(), Catch::Contains("see '" + help + " --help'"));
  }
}

TEST_CASE("Cli: an empty word is a mistake, by the name that help shows", "[cli]") {
  const std::vector<std::pair<std::vector<const char*>, std::string>> mistakes = {
      {{"init", "--data", "", "--hostname", "gw"}, "--data"},
      {{"init", "--data", "/d", "--hostname", ""}, "--hostname"},
      {{"init", "--data", "/d", "--hostname", "gw", "--listen", ""}, "--listen"},
      {{"init", "--data", "/d", "--hostname", "gw", "--public-url", ""}, "--public-url"},
      {{"run", "--config", ""}, "--config"},
      {{"org", "list", "--config", ""}, "--config"},
      {{"org", "add", ""}, "ORG"},
      {{"target", "add", "acme", "", "db:1"}, "TARGET"},
      {{"target", "list", ""}, "ORG"},
      {{"limit", "remove", "acme", "--site", ""}, "--site"},
      {{"limit", "set", "acme", "--up", ""}, "--up"},
  };
  for (const auto& [words, name] : mistakes) {
    const auto parsed = parse(words);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code() == Errc::UsageInvalid);
    CHECK_THAT(parsed.error().message(), Catch::StartsWith(name + ": it is empty; see "));
  }
}

TEST_CASE("Cli: a command nobody knows is repeated to its user", "[cli]") {
  CHECK_THAT(parse({"dance"}).error().message(), Catch::Contains("'dance'"));
  CHECK_THAT(parse({"org", "ad", "acme"}).error().message(), Catch::Contains("'ad'"));
  CHECK_THAT(parse({"org"}).error().message(), !Catch::Contains("''"));
}

TEST_CASE("Cli: --help and --version are text for stdout", "[cli]") {
  CHECK_THAT(must(parse({"--help"})).text, Catch::Contains("Example:") && Catch::Contains("join-token"));
  CHECK_THAT(must(parse({"init", "--help"})).text,
             Catch::Contains("Example:") && Catch::Contains("--hostname"));
  CHECK_THAT(must(parse({"org", "add", "--help"})).text, Catch::Contains("culvert-gateway org add acme"));
  CHECK_THAT(must(parse({"--version"})).text, Catch::StartsWith("culvert-gateway "));
}

TEST_CASE("Render: a table is aligned and has no blanks at line ends", "[cli]") {
  CHECK(render_table({"ORG", "SITES"}, {{"acme", "2"}, {"a-longer-name", "10"}}) ==
        "ORG            SITES\n"
        "acme           2\n"
        "a-longer-name  10\n");
}

TEST_CASE("Render: join-token prints the string alone on stdout and the rest as a hint", "[cli]") {
  const auto output = render_result("join-token",
                                    {{"joining_string", "culvert-join-abc"},
                                     {"org", "acme"},
                                     {"site", "tokyo"},
                                     {"gateway_url", "https://gw:443"},
                                     {"expires_at", "2026-11-22T12:00:00Z"}},
                                    false);
  CHECK(output.out == "culvert-join-abc\n");
  CHECK_THAT(output.hint, Catch::Contains("culvert-agent join") && Catch::Contains("2026-11-22T12:00:00Z"));
}

TEST_CASE("Render: an empty list leaves stdout empty and says how to begin", "[cli]") {
  for (const auto& [name, key] :
       {std::pair{"org.list", "orgs"}, {"target.list", "targets"}, {"site.list", "sites"}}) {
    const auto output = render_result(name, {{key, json::array()}}, false);
    CHECK(output.out.empty());
    CHECK_THAT(output.hint, Catch::Contains("culvert-gateway"));
    CHECK(json::parse(render_result(name, {{key, json::array()}}, true).out).at(key).empty());
  }
}

TEST_CASE("Render: the status shows sessions, streams and the audit log", "[cli]") {
  const json status{{"version", "0.1.0"},
                    {"listen", {"0.0.0.0:443", "[::]:443"}},
                    {"state", "running"},
                    {"uptime_s", 7260},
                    {"orgs", 1},
                    {"sites", 2},
                    {"sessions",
                     {{{"org", "acme"},
                       {"site", "tokyo"},
                       {"state", "up"},
                       {"since", "2026-11-21T12:00:00Z"},
                       {"lanes", 1},
                       {"streams", 3},
                       {"sent_bytes", 1536},
                       {"received_bytes", 7},
                       {"limited_by", "line"}}}},
                    {"streams", {{"open", 3}, {"opened_total", 4}, {"reset_total", 1}}},
                    {"audit", {{"entries", 5}, {"intact", true}}}};
  const std::string text = render_result("status", status, false).out;
  CHECK_THAT(text, Catch::Contains("culvert-gateway 0.1.0 running, up 2 h 1 min") &&
                       Catch::Contains("0.0.0.0:443, [::]:443") &&
                       Catch::Contains("3 open, 4 opened, 1 reset") && Catch::Contains("5 entries, intact") &&
                       Catch::Contains("1.5 KiB") && Catch::Contains("line"));
}

}  // namespace culvert
