#include "tunnel-agent/cli.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/unit/agent/sockets.hpp"
#include "tests/unit/gateway/temp_dir.hpp"
#include "tunnel-agent/forward_service.hpp"
#include "tunnel-agent/status.hpp"
#include "tunnel-core/daemon/data_dir.hpp"

using namespace culvert;
using culvert::test::connect_to;
using culvert::test::free_ports;
using culvert::test::TakenPort;
using nlohmann::json;

namespace {

struct Output {
  int code;
  std::string out;
  std::string err;
};

/// A joined agent whose pool is five ports that were free a moment ago.
class Site {
 public:
  Site() : first_(free_ports(5)) {
    std::ofstream{config()}
        << "gateway_url = \"https://gw\"\ntrust.system_roots = true\n[forwards]\nport_pool = \"" << first_
        << "-" << first_ + 4 << "\"\n";
  }
  std::string config() const { return (dir_ / "agent.toml").string(); }
  const std::filesystem::path& dir() const { return dir_.path(); }
  std::uint16_t port(int offset = 0) const { return static_cast<std::uint16_t>(first_ + offset); }

  Output run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--config", config()});
    return plain(arguments);
  }
  static Output plain(const std::vector<std::string>& arguments) {
    std::istringstream in;
    std::ostringstream out;
    std::ostringstream err;
    const int code =
        AgentCli{[](const AgentConfig&) { return Result<void>{}; }, in, out, err}.execute(arguments);
    return {code, out.str(), err.str()};
  }

 private:
  TempDir dir_;
  std::uint16_t first_;
};

struct ClosingSink final : StreamSink {
  void accept(int fd, const Forward&, SourceAddress) override { ::close(fd); }
};

/// The control half of a running agent: table on its thread, admin socket, lock.
class RunningAgent {
 public:
  explicit RunningAgent(const Site& site)
      : config_(load_config(site.config()).value()),
        lock_(DataDirLock::acquire(site.dir()).value()),
        table_(context_, sink_),
        live_(context_, table_, config_.port_pool),
        service_(config_, &live_) {
    table_.start(load_forwards(config_.forwards_dir()).value());
    thread_ = std::thread([this] { context_.run(); });
    socket_ = AdminSocket::listen(site.dir(), [this](const AdminRequest& request) -> Result<json> {
                if (request.command != "status") return service_.execute(request);
                AgentStatus status;
                status.session.state = SessionState::Up;
                status.session.id = "00000000000004d2";
                status.session.gateway = "https://gw";
                status.session.since = "2026-11-21T10:00:00Z";
                status.lanes = {{1, "up", 20.5, 10, 20, "culvert", ""}};
                status.forwards = live_.status().value();
                status.streams = {1, 2, 3};
                status.backlog_bytes = 7;
                if (request.arguments.value("streams", false)) {
                  status.stream_list = {{1, "dr-db", "192.0.2.1:5", "open", "T", 1, 2}};
                }
                return to_json(status);
              }).value();
  }
  ~RunningAgent() {
    socket_.reset();
    work_.reset();
    context_.stop();
    thread_.join();
  }

 private:
  AgentConfig config_;
  DataDirLock lock_;
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  ClosingSink sink_;
  ForwardTable table_;
  TableOnContext live_;
  ForwardService service_;
  std::thread thread_;
  std::unique_ptr<AdminSocket> socket_;
};

}  // namespace

TEST_CASE("Agent command line: a result that cannot be written is a failure", "[agent]") {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  out.setstate(std::ios::badbit);
  CHECK(AgentCli{[](const AgentConfig&) { return Result<void>{}; }, in, out, err}.execute({"--help"}) == 1);
}

TEST_CASE("Agent command line: with --json every failure is an object on standard output", "[agent]") {
  const Site site;
  const Output done = site.run({"forward", "remove", "absent", "--json"});
  CHECK(done.code == 1);
  CHECK(nlohmann::json::parse(done.out).at("error").at("code") == "not_found");
}

TEST_CASE("CLI: a forward gets the first free port of the pool and keeps it", "[agent]") {
  const Site site;
  const TakenPort backup{site.port()};
  const auto added = site.run({"forward", "add", "dr-db"});
  CHECK(added.code == 0);
  CHECK(added.out == "forward dr-db on port " + std::to_string(site.port(1)) + "\n");
  CHECK(added.err.find("port " + std::to_string(site.port()) + " is skipped: in use by process") == 0);
  CHECK(site.run({"forward", "add", "other"}).out.find(std::to_string(site.port(2))) != std::string::npos);
  const auto again = site.run({"forward", "add", "dr-db"});
  CHECK(again.code == 0);
  CHECK(again.out == added.out);
}

TEST_CASE("CLI: the same forward twice is success, on another port it is not", "[agent]") {
  const Site site;
  const std::string port = std::to_string(site.port(3));
  CHECK(site.run({"forward", "add", "dr-db", "--port", port}).code == 0);
  CHECK(site.run({"forward", "add", "dr-db", "--port", port}).code == 0);
  CHECK(site.run({"forward", "add", "dr-db", "--port", std::to_string(site.port(4))}).code == 1);
  CHECK(site.run({"forward", "add", "dr-db", "--close-when-down"}).code == 1);
  CHECK(site.run({"forward", "add", "other", "--port", port}).code == 1);
  CHECK(site.run({"forward", "remove", "dr-db"}).code == 0);
  CHECK(site.run({"forward", "remove", "dr-db"}).code == 1);
  CHECK(site.run({"forward", "list"}).out.find("no forwards") == 0);
}

TEST_CASE("CLI: a port in use is exit code 1 and leaves no file", "[agent]") {
  const Site site;
  const TakenPort taken;
  CHECK(site.run({"forward", "add", "dr-db", "--port", std::to_string(taken.port())}).code == 1);
  CHECK(load_forwards(site.dir() / "forwards.d")->empty());
}

TEST_CASE("CLI: a forward's settings are stored and listed", "[agent]") {
  const Site site;
  const auto added = site.run({"forward", "add", "dr-db", "--bind", "127.0.0.1,127.0.0.2", "--allow-from",
                               "10.0.0.0/8", "--allow-from", "fd00::/8", "--close-when-down"});
  REQUIRE(added.code == 0);
  const auto forward = load_forward(site.dir() / "forwards.d/dr-db.toml");
  REQUIRE(forward);
  CHECK(forward->bind.size() == 2);
  CHECK(forward->allow_from.size() == 2);
  CHECK(forward->close_when_down);
  const auto listed = json::parse(site.run({"forward", "list", "--json"}).out);
  CHECK(listed["forwards"][0]["listen"] == json{"127.0.0.1", "127.0.0.2"});
}

TEST_CASE("CLI: a forward has weight 4 until another one is asked for, and keeps it", "[agent]") {
  const Site site;
  const auto weight = [&](const char* name) {
    return load_forward(site.dir() / "forwards.d" / (std::string{name} + ".toml"))->weight;
  };
  REQUIRE(site.run({"forward", "add", "usual"}).code == 0);
  REQUIRE(site.run({"forward", "add", "heavy", "--weight", "16"}).code == 0);
  CHECK(weight("usual") == 4);
  CHECK(weight("heavy") == 16);
  REQUIRE(site.run({"forward", "add", "heavy"}).code == 0);
  CHECK(weight("heavy") == 16);
  REQUIRE(site.run({"forward", "add", "heavy", "--weight", "1"}).code == 0);
  CHECK(weight("heavy") == 1);
  CHECK(site.run({"forward", "add", "heavy", "--weight", "2", "--close-when-down"}).code == 1);
  CHECK(weight("heavy") == 1);
  const auto listed = json::parse(site.run({"forward", "list", "--json"}).out);
  CHECK(listed["forwards"][0]["weight"] == 1);
  CHECK(listed["forwards"][1]["weight"] == 4);
}

TEST_CASE("CLI: another weight holds in a running agent at once", "[agent]") {
  const Site site;
  const RunningAgent agent{site};
  REQUIRE(site.run({"forward", "add", "dr-db", "--bind", "127.0.0.1"}).code == 0);
  REQUIRE(site.run({"forward", "add", "dr-db", "--weight", "8"}).code == 0);
  CHECK(json::parse(site.run({"forward", "list", "--json"}).out)["forwards"][0]["weight"] == 8);
  CHECK(load_forward(site.dir() / "forwards.d/dr-db.toml")->weight == 8);
}

TEST_CASE("CLI: wrong usage is exit code 2", "[agent]") {
  const Site site;
  CHECK(site.run({"forward", "add", "dr-db", "--weight", "0"}).code == 2);
  CHECK(site.run({"forward", "add", "dr-db", "--weight", "17"}).code == 2);
  CHECK(Site::plain({}).code == 2);
  CHECK(Site::plain({"frobnicate"}).code == 2);
  CHECK(site.run({"forward", "add", "dr-db", "--port", "0"}).code == 2);
  CHECK(site.run({"forward", "add", "dr-db", "--port", "70000"}).code == 2);
  CHECK(site.run({"forward", "add", "../etc/passwd"}).code == 2);
  CHECK(site.run({"forward", "add", "dr-db", "--bind", "eth0"}).code == 2);
  CHECK(site.run({"forward", "add", "dr-db", "--allow-from", "10.0.0.1/8"}).code == 2);
  CHECK(Site::plain({"join", "culvert-join-abc", "--data", (site.dir() / "new").string()}).code == 2);
  CHECK(Site::plain({"status", "--config", (site.dir() / "none.toml").string()}).code == 2);
}

TEST_CASE("CLI: an empty word is a mistake and no wish for the default, by the name that help shows",
          "[agent]") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes = {
      {{"join", "", "--data", "/d"}, "JOINSTRING"},
      {{"join", "culvert-join-abc", "--data", ""}, "--data"},
      {{"run", "--config", ""}, "--config"},
      {{"explain", ""}, "CODE"},
      {{"firewall", "--host", ""}, "--host"},
      {{"limit", "set", "--forward", "", "--up", "1Mbit/s"}, "--forward"},
      {{"limit", "set", "--up", ""}, "--up"},
      {{"limit", "set", "--down", ""}, "--down"},
      {{"forward", "remove", ""}, "NAME"},
  };
  for (const auto& [words, name] : mistakes) {
    const auto refused = Site::plain(words);
    CHECK(refused.code == 2);
    CHECK(refused.out.empty());
    CHECK_THAT(refused.err, Catch::Contains(name + ": it is empty; see 'culvert-agent " + words.front()));
  }
}

TEST_CASE("CLI: an address that is named twice is called that, and not a port in use", "[agent]") {
  const Site site;
  const auto twice = site.run({"forward", "add", "dr-db", "--bind", "127.0.0.1,127.0.0.1", "--json"});
  CHECK(twice.code == 2);
  const std::string message = json::parse(twice.out)["error"]["message"];
  CHECK_THAT(message, Catch::Contains("--bind names 127.0.0.1 twice"));
  CHECK(load_forwards(site.dir() / "forwards.d")->empty());
}

TEST_CASE("CLI: every command has help with an example, on standard output", "[agent]") {
  const auto command =
      GENERATE(std::vector<std::string>{}, std::vector<std::string>{"join"}, std::vector<std::string>{"run"},
               std::vector<std::string>{"status"}, std::vector<std::string>{"forward", "add"},
               std::vector<std::string>{"forward", "list"}, std::vector<std::string>{"forward", "remove"});
  auto arguments = command;
  arguments.push_back("--help");
  const auto help = Site::plain(arguments);
  CHECK(help.code == 0);
  CHECK(help.err.empty());
  CHECK(help.out.find("Example:\n  culvert-agent") != std::string::npos);
}

TEST_CASE("CLI: a running agent opens and closes the port without a restart", "[agent]") {
  const Site site;
  const RunningAgent agent{site};
  const TakenPort taken{site.port()};
  const auto added = site.run({"forward", "add", "dr-db", "--bind", "127.0.0.1"});
  CHECK(added.code == 0);
  CHECK(added.out == "forward dr-db on port " + std::to_string(site.port(1)) + "\n");
  CHECK(connect_to(site.port(1)));
  CHECK(load_forward(site.dir() / "forwards.d/dr-db.toml")->port == site.port(1));
  CHECK(site.run({"forward", "add", "dr-db"}).code == 0);
  CHECK(site.run({"forward", "add", "other", "--port", std::to_string(site.port(1))}).code == 1);
  CHECK(site.run({"forward", "add", "other", "--port", std::to_string(taken.port())}).code == 1);
  CHECK(site.run({"forward", "remove", "dr-db"}).code == 0);
  CHECK_FALSE(connect_to(site.port(1)));
}

TEST_CASE("CLI: a port that was added is open again after a restart", "[agent]") {
  const Site site;
  REQUIRE(site.run({"forward", "add", "dr-db", "--bind", "127.0.0.1"}).code == 0);
  CHECK_FALSE(connect_to(site.port()));
  const RunningAgent agent{site};
  CHECK(connect_to(site.port()));
}

TEST_CASE("CLI: status shows table and JSON of a running agent, and fails without one", "[agent]") {
  const Site site;
  const auto none = site.run({"status", "--json"});
  CHECK(none.code == 1);
  CHECK(json::parse(none.out)["error"]["code"] == "daemon_unreachable");
  CHECK(site.run({"status"}).out.empty());

  REQUIRE(site.run({"forward", "add", "dr-db", "--bind", "127.0.0.1"}).code == 0);
  const RunningAgent agent{site};
  const auto status = json::parse(site.run({"status", "--json"}).out);
  CHECK(status["session"]["state"] == "up");
  CHECK(status["session"]["id"] == "00000000000004d2");
  CHECK(status["lanes"][0]["rtt_ms"] == 20.5);
  CHECK(status["forwards"][0]["name"] == "dr-db");
  CHECK(status["forwards"][0]["port"] == site.port());
  CHECK(status["forwards"][0]["state"] == "listening");
  CHECK(status["streams"] == json{{"open", 1}, {"opened_total", 2}, {"reset_total", 3}});
  CHECK(status["backlog_bytes"] == 7);
  CHECK(json::parse(site.run({"status", "--json", "--streams"}).out)["streams"]["list"][0]["source"] ==
        "192.0.2.1:5");
  const auto table = site.run({"status", "--streams"}).out;
  CHECK(table.find("session  up") == 0);
  CHECK(table.find("FORWARD") != std::string::npos);
  CHECK(table.find("192.0.2.1:5") != std::string::npos);
}
