#include "cloud-gateway/edge/stranger_table.hpp"

#include <catch2/catch.hpp>

namespace culvert {

namespace {
boost::asio::ip::address at(const char* text) {
  return boost::asio::ip::make_address(text);
}
}  // namespace

TEST_CASE("StrangerTable: the oldest of the address that holds the most leaves first", "[gateway]") {
  StrangerTable table;
  CHECK_FALSE(table.next_to_leave());
  const auto lonely = table.enter(at("192.0.2.1"));
  const auto first = table.enter(at("192.0.2.2"));
  const auto second = table.enter(at("192.0.2.2"));
  CHECK(table.next_to_leave() == first);
  table.leave(first);
  table.leave(first);
  CHECK(table.size() == 2);
  table.enter(at("192.0.2.1"));
  CHECK(table.next_to_leave() == lonely);
  table.leave(lonely);
  table.leave(second);
  CHECK(table.size() == 1);
}

TEST_CASE("StrangerTable: the addresses of one IPv6 /64 are one, and a mapped IPv4 address is that address",
          "[gateway]") {
  StrangerTable table;
  table.enter(at("192.0.2.1"));
  const auto first = table.enter(at("2001:db8:0:1::1"));
  table.enter(at("2001:db8:0:1:ffff::2"));
  CHECK(table.next_to_leave() == first);
  table.leave(first);
  const auto mapped = table.enter(at("::ffff:192.0.2.9"));
  table.enter(at("192.0.2.9"));
  CHECK(table.next_to_leave() == mapped);
}

}  // namespace culvert
