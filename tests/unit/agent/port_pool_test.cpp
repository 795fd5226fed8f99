#include "tunnel-agent/port_pool.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/agent/other_process.hpp"
#include "tests/unit/agent/sockets.hpp"

using namespace culvert;
using culvert::test::connect_to;
using culvert::test::free_ports;
using culvert::test::OtherProcess;
using culvert::test::TakenPort;

namespace {

Forward on_loopback(std::uint16_t port = 0) {
  Forward forward;
  forward.name = forward.target = "dr-db";
  forward.port = port;
  forward.bind = {IpAddress::parse("127.0.0.1").value()};
  return forward;
}

}  // namespace

TEST_CASE("PortPool: a range or a single port is read, anything else refused", "[agent]") {
  CHECK(PortPool::parse("10000-10010")->to_text() == "10000-10010");
  CHECK(PortPool::parse("7")->last == 7);
  const std::string text = GENERATE("", "0", "10-", "-10", "10-9", "1-65536", "a-b", "1-2-3", "1 - 2");
  CHECK_FALSE(PortPool::parse(text));
}

TEST_CASE("PortPool: a port taken by another process is skipped and its holder named", "[agent]") {
  const std::uint16_t first = free_ports(3);
  const TakenPort taken{first};
  const PortPool pool{first, static_cast<std::uint16_t>(first + 2)};
  const auto chosen = choose_port(pool, {static_cast<std::uint16_t>(first + 1)}, on_loopback());
  REQUIRE(chosen);
  CHECK(chosen->port == first + 2);
  REQUIRE(chosen->skipped.size() == 1);
  CHECK(chosen->skipped[0].find("port " + std::to_string(first) + " is skipped: in use by process " +
                                std::to_string(::getpid()) + " (") == 0);
  CHECK(connect_to(chosen->port));  // It listens already.
}

TEST_CASE("PortPool: an exhausted pool says how to go on", "[agent]") {
  const TakenPort taken;
  const auto chosen = choose_port({taken.port(), taken.port()}, {}, on_loopback());
  REQUIRE_FALSE(chosen);
  CHECK(chosen.error().code() == Errc::PortInUse);
  CHECK(chosen.error().message().find("--port") != std::string::npos);
}

TEST_CASE("Listen sockets: IPv4 and IPv6 are opened side by side when nothing is bound", "[agent]") {
  Forward forward = on_loopback(free_ports(1));
  forward.bind.clear();
  const auto sockets = open_listen_sockets(forward);
  REQUIRE(sockets);
  CHECK(connect_to(forward.port, "127.0.0.1"));
  if (sockets->size() == 2) CHECK(connect_to(forward.port, "::1"));
}

TEST_CASE("Listen sockets: a port taken on one address leaves none open", "[agent]") {
  const TakenPort taken;
  Forward forward = on_loopback(taken.port());
  forward.bind.insert(forward.bind.begin(), IpAddress::parse("127.0.0.2").value());
  const auto sockets = open_listen_sockets(forward);
  REQUIRE_FALSE(sockets);
  CHECK(sockets.error().code() == Errc::PortInUse);
  CHECK_FALSE(connect_to(taken.port(), "127.0.0.2"));
}

TEST_CASE("Listen sockets: who has the IPv6 half of a port is named, not the one with the other half",
          "[agent]") {
  if (!OtherProcess::can_hold("::1")) return;  // A machine without IPv6.
  Forward forward = on_loopback(free_ports(1));
  forward.bind.clear();
  const OtherProcess other{"::", forward.port};
  const auto sockets = open_listen_sockets(forward);
  REQUIRE_FALSE(sockets);
  CHECK(sockets.error().code() == Errc::PortInUse);
  CHECK_THAT(sockets.error().message(), Catch::Contains("process " + std::to_string(other.pid()) + " ("));
}

TEST_CASE("Listen sockets: the holder that is named has the address that was wanted", "[agent]") {
  Forward forward = on_loopback(free_ports(1));
  const OtherProcess other{"127.0.0.2", forward.port};
  const TakenPort ours{forward.port};
  CHECK_THAT(open_listen_sockets(forward).error().message(),
             Catch::Contains("process " + std::to_string(::getpid()) + " ("));
  forward.bind = {IpAddress::parse("127.0.0.2").value()};
  CHECK_THAT(open_listen_sockets(forward).error().message(),
             Catch::Contains("process " + std::to_string(other.pid()) + " ("));
  CHECK(port_holder(forward.port) == port_holder(forward.port, "127.0.0.2"));
  CHECK(port_holder(forward.port, "127.0.0.3").empty());
}

TEST_CASE("Listen sockets: an address this machine does not have is refused by name", "[agent]") {
  Forward forward = on_loopback(free_ports(1));
  forward.bind = {IpAddress::parse("203.0.113.77").value()};
  const auto sockets = open_listen_sockets(forward);
  REQUIRE_FALSE(sockets);
  CHECK(sockets.error().code() == Errc::IoFailed);
  CHECK(sockets.error().message().find("203.0.113.77") != std::string::npos);
}
