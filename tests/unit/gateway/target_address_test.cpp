#include "cloud-gateway/control/target_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <catch2/catch.hpp>

#include "cloud-gateway/control/address_kind.hpp"

namespace culvert {

namespace {

bool forbidden(const std::string& text) {
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  if (inet_pton(AF_INET6, text.c_str(), &ipv6.sin6_addr) == 1)
    return forbidden_address(reinterpret_cast<const sockaddr&>(ipv6));
  sockaddr_in ipv4{};
  ipv4.sin_family = AF_INET;
  REQUIRE(inet_pton(AF_INET, text.c_str(), &ipv4.sin_addr) == 1);
  return forbidden_address(reinterpret_cast<const sockaddr&>(ipv4));
}

}  // namespace

TEST_CASE("TargetAddress: names, IPv4 and bracketed IPv6 are read and written alike", "[target]") {
  for (const char* text : {"db.dr.internal:5432", "db:1", "DB_1.example.:65535", "192.0.2.7:873",
                           "[2001:db8::7]:443", "[fe80::1%eth0]:22", "localhost:10809"}) {
    INFO(text);
    const auto address = parse_target_address(text);
    REQUIRE(address);
    CHECK(address->to_text() == text);
  }
}

TEST_CASE("TargetAddress: an address or localhost written literally is the permission", "[target]") {
  for (const char* text :
       {"127.0.0.1:80", "[::1]:5432", "10.0.0.1:22", "169.254.169.254:80", "localhost:5432"}) {
    INFO(text);
    CHECK(parse_target_address(text)->literal_permitted);
  }
  CHECK_FALSE(parse_target_address("db.dr.internal:5432")->literal_permitted);
  CHECK_FALSE(parse_target_address("localhost.example:5432")->literal_permitted);
}

TEST_CASE("TargetAddress: what is not HOST:PORT is refused with how to write it", "[target]") {
  const auto [text, reason] = GENERATE(table<std::string, std::string>({
      {"", "port is missing"},
      {"db", "port is missing"},
      {"db:", "port must be"},
      {"db:0", "port must be"},
      {"db:65536", "port must be"},
      {"db:54x2", "port must be"},
      {"db:-1", "port must be"},
      {"db: 5432", "port must be"},
      {":5432", "host is missing"},
      {"::1:5432", "brackets"},
      {"http://x:80", "not a URL"},
      {"[::1]5432", "']:PORT' is missing"},
      {"[db]:5432", "no IPv6 address"},
      {"[fe80::1%]:22", "no IPv6 address"},
      {"d b:5432", "letters, digits"},
      {"db/x:5432", "letters, digits"},
      {"-db:5432", "begins or ends"},
      {"db..internal:1", "empty part"},
      {"127.1:80", "incomplete IPv4"},
      {"2130706433:80", "incomplete IPv4"},
      {"0x7f000001:80", "incomplete IPv4"},
      {"256.1.1.1:80", "incomplete IPv4"},
      {"0.0.0.0:80", "no host has that address, so it cannot be connected to"},
      {"[fe80::1]:5432", "[fe80::1%eth0]:5432"},
      {"[::]:80", "cannot be connected to"},
      {"224.0.0.1:80", "cannot be connected to"},
      {"255.255.255.255:80", "cannot be connected to"},
  }));
  INFO(text);
  const auto address = parse_target_address(text);
  REQUIRE_FALSE(address);
  CHECK(address.error().code() == Errc::UsageInvalid);
  CHECK_THAT(address.error().message(), Catch::Contains(reason) && Catch::Contains("HOST:PORT"));
}

TEST_CASE("TargetAddress: a name of 254 characters, or a part of 64, is refused", "[target]") {
  std::string longest;
  for (int i = 0; i < 4; ++i) longest += std::string(62, 'a') + ".";
  CHECK(parse_target_address(longest + ":1"));
  CHECK_FALSE(parse_target_address(longest + "aaaa:1"));
  CHECK(parse_target_address(std::string(63, 'a') + ":1"));
  CHECK_FALSE(parse_target_address(std::string(64, 'a') + ":1"));
}

TEST_CASE("Addresses: loopback, link-local, metadata and their disguises are forbidden to names",
          "[target]") {
  for (const char* text : {"127.0.0.1",
                           "127.255.255.254",
                           "0.0.0.0",
                           "0.1.2.3",
                           "169.254.169.254",
                           "169.254.0.1",
                           "224.0.0.1",
                           "239.255.255.255",
                           "255.255.255.255",
                           "240.0.0.1",
                           "100.100.100.200",
                           "::",
                           "::1",
                           "fe80::1",
                           "febf::1",
                           "ff02::1",
                           "fd00:ec2::254",
                           "::ffff:127.0.0.1",
                           "::ffff:169.254.169.254",
                           "::127.0.0.1",
                           "64:ff9b::169.254.169.254",
                           "2002:7f00:1::1"}) {
    INFO(text);
    CHECK(forbidden(text));
  }
}

TEST_CASE("Addresses: public and private ones are open to names", "[target]") {
  for (const char* text : {"192.0.2.7", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "128.0.0.1",
                           "169.253.0.1", "223.255.255.255", "2001:db8::1", "fd00::1", "fec0::1",
                           "::ffff:192.0.2.7", "64:ff9b::192.0.2.7", "2002:c000:207::1"}) {
    INFO(text);
    CHECK_FALSE(forbidden(text));
  }
}

TEST_CASE("Addresses: a family that is neither IPv4 nor IPv6 is forbidden", "[target]") {
  sockaddr other{};
  other.sa_family = AF_UNIX;
  CHECK(forbidden_address(other));
}

}  // namespace culvert
