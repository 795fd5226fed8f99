// The whole program but for its data path: each command runs in a process of its own, as from a shell.
#include "cloud-gateway/cli_commands.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <regex>

#include "cloud-gateway/control_plane.hpp"
#include "tests/unit/gateway/gateway_fixture.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// `before` runs in the new process first.
Outcome run(
    std::vector<std::string> words, const std::function<void()>& before = [] {}) {
  words.insert(words.begin(), "culvert-gateway");
  TempDir output;
  const std::string out = output / "out";
  const std::string err = output / "err";
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (std::freopen(out.c_str(), "w", stdout) == nullptr ||
        std::freopen(err.c_str(), "w", stderr) == nullptr)
      ::_exit(99);
    before();
    std::vector<const char*> argv;
    for (const std::string& word : words) argv.push_back(word.c_str());
    const int code =
        gateway_main(static_cast<int>(argv.size()), argv.data(), [](Gateway&) { return Result<void>{}; });
    std::fflush(stdout);
    std::fflush(stderr);
    ::_exit(code);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, must(read_file(out)), must(read_file(err))};
}

Outcome init(const fs::path& dir) {
  return run({"init", "--data", dir.string(), "--hostname", "gw.example.net", "--listen", "127.0.0.1:8443"});
}

std::size_t entries(const fs::path& dir) {
  return static_cast<std::size_t>(std::distance(fs::recursive_directory_iterator{dir}, {}));
}

}  // namespace

TEST_CASE("Commands: a provider's first five commands work without a daemon", "[commands]") {
  TempDir dir;
  const fs::path data = dir / "some/where/gw";
  const auto made = init(data);
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  CHECK(made.out.empty());
  struct stat status {};
  REQUIRE(::stat(data.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);

  const std::string config = (data / "gateway.toml").string();
  CHECK(run({"org", "add", "acme", "--config", config}).exit_code == 0);
  CHECK(run({"target", "add", "acme", "dr-db", "db.dr.internal:5432", "--config", config}).exit_code == 0);
  const auto token = run({"join-token", "acme", "tokyo", "--config", config});
  CHECK(token.exit_code == 0);
  CHECK(std::regex_match(token.out, std::regex{"culvert-join-[A-Za-z0-9_-]+\n"}));
  CHECK_THAT(token.err, Catch::Contains("culvert-agent join"));

  const auto joining = must(certs::JoiningString::decode(token.out));
  CHECK(joining.gateway_url == "https://gw.example.net:8443");
  const auto root = must(certs::load_chain(data / "certs/root.pem"));
  CHECK(joining.root_fingerprint == root.front().thumbprint());
  const auto served = run({"run", "--config", config});
  INFO(served.err);
  CHECK(served.exit_code == 0);
  CHECK_THAT(served.err, !Catch::Contains("refuse the server certificate"));

  CHECK(json::parse(run({"target", "list", "--json", "--config", config}).out)["targets"].size() == 1);
  CHECK_THAT(run({"site", "list", "--config", config}).out, Catch::Contains("acme  tokyo  not enrolled"));
  CHECK(run({"org", "list", "--config", config}).out.starts_with("ORG"));
}

TEST_CASE("Commands: exit codes tell failure from wrong usage", "[commands]") {
  GatewayFixture fixture;
  const std::string config = fixture.config_file.string();
  CHECK(run({"org", "add", "acme", "--config", config}).exit_code == 0);
  CHECK(run({"org", "add", "acme", "--config", config}).exit_code == 1);
  CHECK(run({"org", "remove", "nobody", "--config", config}).exit_code == 1);
  CHECK(run({"org", "add", "Bad Name", "--config", config}).exit_code == 2);
  CHECK(run({"target", "add", "acme", "db", "nowhere", "--config", config}).exit_code == 2);
  CHECK(run({"org", "add"}).exit_code == 2);
  CHECK(run({"org", "list", "--config", (fixture.dir / "absent.toml").string()}).exit_code == 2);
  CHECK(run({"--help"}).exit_code == 0);

  const auto refused = run({"join-token", "nobody", "tokyo", "--config", config});
  CHECK(refused.exit_code == 1);
  CHECK(refused.out.empty());
  CHECK_THAT(refused.err, Catch::StartsWith("culvert-gateway: ") && Catch::Contains("org add nobody"));
  CHECK(std::count(refused.err.begin(), refused.err.end(), '\n') == 1);
}

TEST_CASE("Commands: status without a daemon fails with an error object", "[commands]") {
  GatewayFixture fixture;
  const auto status = run({"status", "--json", "--config", fixture.config_file.string()});
  CHECK(status.exit_code == 1);
  CHECK(json::parse(status.out)["error"]["code"] == "daemon_unreachable");
}

TEST_CASE("Commands: an error about bytes that are not UTF-8 is JSON all the same", "[commands]") {
  GatewayFixture fixture;
  const auto nowhere = run({"status", "--json", "--config", "/\xff"});
  CHECK(nowhere.exit_code == 2);
  CHECK(json::parse(nowhere.out)["error"]["code"] == "config_invalid");
  const auto nobody = run({"org", "remove", "\xff", "--json", "--config", fixture.config_file.string()});
  CHECK(nobody.exit_code == 1);
  CHECK(json::parse(nobody.out)["error"]["code"] == "not_found");
}

TEST_CASE("Commands: with a daemon they take effect at once", "[commands]") {
  GatewayFixture fixture;
  const std::string config = fixture.config_file.string();
  Gateway gateway = fixture.open();
  FakeSessions sessions;
  sessions.live.started_at = certs::utc_now();
  ControlPlane control{gateway, sessions};
  must(control.open_admin_socket());

  CHECK(run({"org", "add", "acme", "--config", config}).exit_code == 0);
  CHECK(run({"target", "add", "acme", "db", "db.internal:1", "--config", config}).exit_code == 0);
  CHECK(gateway.policy->current()->targets_of("acme") == std::vector<std::string>{"db"});
  CHECK(run({"join-token", "acme", "tokyo", "--config", config}).exit_code == 0);
  CHECK(gateway.policy->current()->authorise_open({"acme", "tokyo"}, "db"));
  CHECK(run({"org", "add", "acme", "--config", config}).exit_code == 1);
  CHECK(run({"org", "add", "Bad", "--config", config}).exit_code == 2);

  const auto status = run({"status", "--json", "--config", config});
  CHECK(status.exit_code == 0);
  CHECK(json::parse(status.out)["sites"] == 1);
  CHECK(run({"site", "remove", "acme", "tokyo", "--config", config}).exit_code == 0);
  CHECK_FALSE(gateway.policy->current()->authorise_open({"acme", "tokyo"}, "db"));
  control.close_admin_socket();  // Waits for its thread, which notes what has ended.
  CHECK(sessions.ended.size() == 1);
  CHECK(run({"run", "--config", config}).exit_code == 1);
}

TEST_CASE("Commands: init on a directory in use fails and changes nothing", "[commands]") {
  TempDir dir;
  fs::create_directory(dir / "used");
  std::ofstream{dir / "used/letter"} << "mine";
  CHECK(init(dir / "used").exit_code == 1);
  CHECK(entries(dir / "used") == 1);

  REQUIRE(init(dir / "gw").exit_code == 0);
  const auto before = must(read_file(dir / "gw/certs/root.pem"));
  const auto again = init(dir / "gw");
  CHECK(again.exit_code == 1);
  CHECK_THAT(again.err, Catch::Contains("in use"));
  CHECK(must(read_file(dir / "gw/certs/root.pem")) == before);
}

TEST_CASE("Commands: init begins again where one was killed, at whatever point", "[commands]") {
  TempDir dir;
  const fs::path data = dir / "gw";
  REQUIRE(init(data).exit_code == 0);
  const auto old_root = must(read_file(data / "certs/root.pem"));
  fs::rename(data / "gateway.toml", data / "gateway.toml.unfinished");
  const auto repeated = init(data);
  INFO(repeated.err);
  CHECK(repeated.exit_code == 0);
  CHECK(must(read_file(data / "certs/root.pem")) != old_root);
  CHECK_FALSE(fs::exists(data / "gateway.toml.unfinished"));
  CHECK(run({"org", "list", "--config", (data / "gateway.toml").string()}).exit_code == 0);

  fs::create_directory(dir / "early");  // Killed while it wrote its first file.
  fs::permissions(dir / "early", fs::perms::owner_all);
  std::ofstream{dir / "early/gateway.toml.unfinished.tmp-a1B2c3"} << "half";
  CHECK(init(dir / "early").exit_code == 0);
  CHECK_FALSE(fs::exists(dir / "early/gateway.toml.unfinished.tmp-a1B2c3"));
}

TEST_CASE("Commands: init leaves alone what an interrupted one did not make", "[commands]") {
  TempDir dir;
  for (const std::string letter : {"letter", "certs/letter"}) {
    const fs::path data = dir / "gw";
    fs::create_directories(data / "certs");
    std::ofstream{data / "gateway.toml.unfinished"} << "half";
    std::ofstream{data / "certs/root.key"} << "half";
    std::ofstream{data / letter} << "mine";
    const auto refused = init(data);
    CHECK(refused.exit_code == 1);
    CHECK_THAT(refused.err,
               Catch::Contains((data / letter).string()) && Catch::Contains("nothing was changed"));
    CHECK(must(read_file(data / letter)) == "mine");
    CHECK(must(read_file(data / "certs/root.key")) == "half");
    fs::remove_all(data);
  }
}

TEST_CASE("Commands: init does not replace the keys of a gateway that lost its gateway.toml", "[commands]") {
  GatewayFixture fixture;
  fs::remove(fixture.config_file);
  const auto root = must(read_file(fixture.data / "certs/root.key"));
  CHECK(init(fixture.data).exit_code == 1);
  CHECK(must(read_file(fixture.data / "certs/root.key")) == root);
}

TEST_CASE("Commands: a gateway whose store is gone or empty does not start without its orgs", "[commands]") {
  GatewayFixture fixture;
  const fs::path store = fixture.data / "store.sqlite";
  const std::string config = fixture.config_file.string();
  fs::remove(store);
  for (const bool empty : {false, true}) {
    if (empty) {
      std::ofstream{store}.flush();
      fs::permissions(store, fs::perms::owner_read | fs::perms::owner_write);
    }
    const std::vector<std::vector<std::string>> commands = {
        {"run", "--config", config},
        {"org", "list", "--config", config},
        {"org", "add", "acme", "--config", config},
    };
    for (const auto& words : commands) {
      const auto refused = run(words);
      CHECK(refused.exit_code == 1);
      CHECK_THAT(refused.err, Catch::Contains("put it back from a backup"));
    }
  }
}

TEST_CASE("Commands: init with wrong values makes no directory", "[commands]") {
  TempDir dir;
  const std::string data = dir / "gw";
  CHECK(run({"init", "--data", data, "--hostname", "not a name"}).exit_code == 2);
  CHECK(run({"init", "--data", data, "--hostname", "gw", "--listen", "443"}).exit_code == 2);
  CHECK(run({"init", "--data", data, "--hostname", "gw", "--listen", "0.0.0.0:0"}).exit_code == 2);
  for (const std::string url : {"http://x", "https://x:99999", "https://gw.test/y", "https://u:p@gw.test"}) {
    const auto refused = run({"init", "--data", data, "--hostname", "gw", "--public-url", url});
    INFO(refused.err);
    CHECK(refused.exit_code == 2);
    CHECK_THAT(refused.err, Catch::Contains("--public-url") && Catch::Contains("https://HOST:PORT"));
  }
  CHECK(fs::is_empty(dir.path()));
}

TEST_CASE("Commands: what init names next can be pasted, whatever the directory is called", "[commands]") {
  TempDir dir;
  const auto made = init(dir / "with blanks");
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  const std::string option = " --config " + shell_word(dir / "with blanks/gateway.toml");
  CHECK_THAT(made.err, Catch::Contains("org add ORG" + option + "\n") &&
                           Catch::Contains("culvert-gateway run" + option + "\n") && Catch::Contains("'"));
}

TEST_CASE("Commands: init that fails half-way leaves nothing behind", "[commands]") {
  const auto small_files = [] {
    std::signal(SIGXFSZ, SIG_IGN);
    // Enough for keys and certificates, too little for the store.
    const rlimit limit{9000, 9000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(98);
  };
  TempDir dir;
  fs::create_directory(dir / "empty");
  for (const std::string name : {"deep/er/gw", "empty"}) {
    const auto failed = run({"init", "--data", dir / name, "--hostname", "gw.example.net"}, small_files);
    INFO(failed.err);
    CHECK(failed.exit_code == 1);
    CHECK_THAT(failed.err, Catch::Contains("full"));
    CHECK(entries(dir.path()) == 1);
  }
  CHECK(init(dir / "empty").exit_code == 0);
}

TEST_CASE("Commands: a key that others may read keeps the daemon from starting", "[commands]") {
  GatewayFixture fixture;
  fs::permissions(fixture.data / "certs/server.key", fs::perms::group_read, fs::perm_options::add);
  const auto refused = run({"run", "--config", fixture.config_file.string()});
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Catch::Contains("chmod 600"));
}

TEST_CASE("Commands: a key that is not the certificate's is named", "[commands]") {
  GatewayFixture fixture;
  must(certs::save_key(fixture.data / "certs/server.key", must(certs::PrivateKey::generate())));
  const auto refused = run({"run", "--config", fixture.config_file.string()});
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.err, Catch::Contains("is not the key of"));
}

}  // namespace culvert
