#include "tunnel-agent/network.hpp"

#include <catch2/catch.hpp>

using namespace culvert;

TEST_CASE("Network: contains the addresses of its prefix, and of its family only", "[agent]") {
  const auto inside = [](const char* network, const char* address) {
    return Network::parse(network).value().contains(IpAddress::parse(address).value());
  };
  CHECK(inside("10.0.0.0/8", "10.255.0.1"));
  CHECK_FALSE(inside("10.0.0.0/8", "11.0.0.0"));
  CHECK(inside("192.0.2.128/25", "192.0.2.128"));
  CHECK_FALSE(inside("192.0.2.128/25", "192.0.2.127"));
  CHECK(inside("0.0.0.0/0", "203.0.113.9"));
  CHECK_FALSE(inside("0.0.0.0/0", "::1"));
  CHECK(inside("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(inside("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(inside("::1", "::1"));
  CHECK(inside("127.0.0.1", "::ffff:127.0.0.1"));
}

TEST_CASE("Network: what is none is refused with an example", "[agent]") {
  const std::string text = GENERATE("", "lan", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/8/8",
                                    "10.0.0.1/8", "::/129", "10.0.0/8", "10.0.0.0/-1");
  const auto network = Network::parse(text);
  REQUIRE_FALSE(network);
  CHECK(network.error().message().find("10.0.0.0/8 or fd00::/8") != std::string::npos);
}

TEST_CASE("SourceAddress: is written with its port, IPv6 in brackets", "[agent]") {
  CHECK(SourceAddress{IpAddress::parse("192.0.2.7").value(), 40112}.to_text() == "192.0.2.7:40112");
  CHECK(SourceAddress{IpAddress::parse("2001:DB8::7").value(), 1}.to_text() == "[2001:db8::7]:1");
}
