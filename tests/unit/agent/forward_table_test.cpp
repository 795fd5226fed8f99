#include "tunnel-agent/forward_table.hpp"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/unit/agent/sockets.hpp"
#include "tests/unit/gateway/temp_dir.hpp"

using namespace culvert;
using culvert::test::connect_to;
using culvert::test::free_ports;
using culvert::test::read_result;
using culvert::test::TakenPort;

namespace {

struct Accepted {
  UniqueFd fd;
  std::string forward;
  SourceAddress source;
};

struct RecordingSink final : StreamSink {
  void accept(int fd, const Forward& forward, SourceAddress source) override {
    accepted.push_back({UniqueFd{fd}, forward.name, source});
  }
  std::vector<Accepted> accepted;
};

Forward on_loopback(const std::string& name, std::uint16_t port) {
  Forward forward;
  forward.name = forward.target = name;
  forward.port = port;
  forward.bind = {IpAddress::parse("127.0.0.1").value()};
  return forward;
}

struct World {
  boost::asio::io_context context;
  RecordingSink sink;
  ForwardTable table{context, sink, /*close_after=*/30ms, /*retry_open=*/30ms};

  /// Runs the context until `condition` holds; false after 10 s.
  template <class Condition>
  bool run_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      context.restart();
      context.run_one_for(10ms);
    }
    return true;
  }
  ForwardState state(const std::string& name) {
    for (const ForwardStatus& status : table.status()) {
      if (status.name == name) return status.state;
    }
    throw std::runtime_error("no forward " + name);
  }
};

}  // namespace

TEST_CASE("ForwardTable: an accepted connection goes to the sink with forward and source", "[agent]") {
  World world;
  const auto port = free_ports(1);
  REQUIRE(world.table.add(on_loopback("dr-db", port)));
  const UniqueFd client = connect_to(port);
  REQUIRE(client);
  REQUIRE(world.run_until([&] { return world.sink.accepted.size() == 1; }));
  CHECK(world.sink.accepted[0].forward == "dr-db");
  sockaddr_in own{};
  socklen_t size = sizeof own;
  ::getsockname(client.value(), reinterpret_cast<sockaddr*>(&own), &size);
  CHECK(world.sink.accepted[0].source.to_text() == "127.0.0.1:" + std::to_string(ntohs(own.sin_port)));
  REQUIRE(::send(world.sink.accepted[0].fd.value(), "x", 1, 0) == 1);
  CHECK(read_result(client) == 1);
}

TEST_CASE("ForwardTable: of two files with one port the second is told which forward has it", "[agent]") {
  World world;
  const auto port = free_ports(1);
  world.table.start({{"one", on_loopback("one", port)}, {"two", on_loopback("two", port)}});
  const auto status = world.table.status();
  REQUIRE(status.size() == 2);
  CHECK(status[0].state == ForwardState::Listening);
  CHECK(status[1].state == ForwardState::Failed);
  CHECK(status[1].error.find("belongs to forward 'one' already") != std::string::npos);
}

TEST_CASE("ForwardTable: a source that allow_from does not name is reset at once", "[agent]") {
  World world;
  Forward forward = on_loopback("dr-db", free_ports(1));
  forward.allow_from = {Network::parse("10.0.0.0/8").value()};
  REQUIRE(world.table.add(forward));
  const UniqueFd client = connect_to(forward.port);
  REQUIRE(client);
  pollfd entry{client.value(), POLLIN, 0};
  REQUIRE(world.run_until([&] { return ::poll(&entry, 1, 0) == 1; }));
  CHECK(read_result(client) == -ECONNRESET);
  CHECK(world.sink.accepted.empty());
}

TEST_CASE("ForwardTable: one broken file and one taken port do not stop the others", "[agent]") {
  const TempDir dir;
  const auto first = free_ports(2);
  auto taken = std::make_unique<TakenPort>(first);
  REQUIRE(save_forward(dir.path(), on_loopback("blocked", first)));
  REQUIRE(save_forward(dir.path(), on_loopback("good", static_cast<std::uint16_t>(first + 1))));
  std::ofstream{dir / "broken.toml"} << "port = 0\n";
  World world;
  world.table.start(load_forwards(dir.path()).value());

  const auto status = world.table.status();
  REQUIRE(status.size() == 3);
  CHECK(status[0].state == ForwardState::Failed);
  CHECK(status[0].error.find("in use by process") != std::string::npos);
  CHECK(status[1].state == ForwardState::Failed);
  CHECK(status[1].error.find("broken.toml:1") != std::string::npos);
  CHECK(status[2].state == ForwardState::Listening);
  CHECK(connect_to(static_cast<std::uint16_t>(first + 1)));

  taken.reset();
  REQUIRE(world.run_until([&] { return world.state("blocked") == ForwardState::Listening; }));
  CHECK(world.table.status()[0].error.empty());
}

TEST_CASE("ForwardTable: a port of another forward or process is refused and changes nothing", "[agent]") {
  World world;
  const TakenPort taken;
  const auto port = free_ports(1);
  REQUIRE(world.table.add(on_loopback("one", port)));
  const auto twice = world.table.add(on_loopback("two", port));
  REQUIRE_FALSE(twice);
  CHECK(twice.error().message().find("belongs to forward 'one'") != std::string::npos);
  CHECK(world.table.add(on_loopback("three", taken.port())).error().code() == Errc::PortInUse);
  CHECK(world.table.status().size() == 1);
}

TEST_CASE("ForwardTable: close_when_down closes while the session is dead and opens when it is back",
          "[agent]") {
  World world;
  Forward moving = on_loopback("moving", free_ports(2));
  moving.close_when_down = true;
  const Forward staying = on_loopback("staying", static_cast<std::uint16_t>(moving.port + 1));
  REQUIRE(world.table.add(moving));
  REQUIRE(world.table.add(staying));
  world.table.set_session_state(true);
  CHECK(world.state("moving") == ForwardState::Listening);

  world.table.set_session_state(false);
  CHECK(world.state("moving") == ForwardState::Listening);  // A short outage closes nothing.
  REQUIRE(world.run_until([&] { return world.state("moving") == ForwardState::Closed; }));
  CHECK_FALSE(connect_to(moving.port));
  CHECK(world.state("staying") == ForwardState::Listening);

  world.table.set_session_state(true);
  CHECK(world.state("moving") == ForwardState::Listening);
  CHECK(connect_to(moving.port));
}

TEST_CASE("ForwardTable: close_when_down follows a target that is dead", "[agent]") {
  World world;
  Forward forward = on_loopback("dr-db", free_ports(1));
  forward.close_when_down = true;
  REQUIRE(world.table.add(forward));
  world.table.set_session_state(true);
  world.table.set_target_state("dr-db", false);
  REQUIRE(world.run_until([&] { return world.state("dr-db") == ForwardState::Closed; }));
  world.table.set_target_state("dr-db", true);
  CHECK(world.state("dr-db") == ForwardState::Listening);
}

TEST_CASE("ForwardTable: a removed forward's port is closed, accepted connections stay", "[agent]") {
  World world;
  const auto port = free_ports(1);
  REQUIRE(world.table.add(on_loopback("dr-db", port)));
  const UniqueFd client = connect_to(port);
  REQUIRE(world.run_until([&] { return world.sink.accepted.size() == 1; }));
  CHECK(world.table.remove("dr-db"));
  CHECK_FALSE(world.table.remove("dr-db"));
  CHECK_FALSE(connect_to(port));
  REQUIRE(::send(world.sink.accepted[0].fd.value(), "x", 1, 0) == 1);
  CHECK(read_result(client) == 1);
}

TEST_CASE("ForwardTable: after stop nothing listens any more", "[agent]") {
  World world;
  const auto port = free_ports(1);
  REQUIRE(world.table.add(on_loopback("dr-db", port)));
  world.table.stop();
  CHECK_FALSE(connect_to(port));
  CHECK(world.state("dr-db") == ForwardState::Closed);
}

TEST_CASE(
    "ForwardTable: without file descriptors it waits instead of spinning, and accepts when there are some",
    "[agent]") {
  World world;
  const auto port = free_ports(1);
  REQUIRE(world.table.add(on_loopback("dr-db", port)));
  const UniqueFd client = connect_to(port);
  REQUIRE(client);
  rlimit old{};
  ::getrlimit(RLIMIT_NOFILE, &old);
  const rlimit none{3, old.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  std::size_t handlers = 0;
  const auto end = std::chrono::steady_clock::now() + 500ms;
  while (std::chrono::steady_clock::now() < end) {
    world.context.restart();
    handlers += world.context.run_one_for(50ms);
  }
  ::setrlimit(RLIMIT_NOFILE, &old);
  CHECK(handlers > 0);
  CHECK(handlers < 20);
  REQUIRE(world.run_until([&] { return world.sink.accepted.size() == 1; }));
}
