// What the kernel's table of neighbours says of an address, from messages made up here: no network.
#include "tunnel-agent/doctor/neighbour.hpp"

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

using namespace culvert;

namespace {

template <class T>
std::string bytes_of(const T& value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string message(std::uint16_t type, const std::string& body) {
  nlmsghdr head{};
  head.nlmsg_len = static_cast<std::uint32_t>(sizeof head + body.size());
  head.nlmsg_type = type;
  return bytes_of(head) + body;
}

std::string attribute(std::uint16_t type, const std::string& value) {
  rtattr head{};
  head.rta_len = static_cast<std::uint16_t>(sizeof head + value.size());
  head.rta_type = type;
  return bytes_of(head) + value + std::string((4 - value.size() % 4) % 4, '\0');
}

/// As the kernel sends it: a hardware address of six bytes may stand before or behind.
std::string entry(const std::string& address, std::uint16_t state) {
  ndmsg head{};
  head.ndm_family = static_cast<std::uint8_t>(address.size() == 4 ? AF_INET : AF_INET6);
  head.ndm_state = state;
  return message(RTM_NEWNEIGH,
                 bytes_of(head) + attribute(NDA_LLADDR, "\x02hard!") + attribute(NDA_DST, address));
}

const std::string kThere{"\xC0\x00\x02\x07", 4};
const std::string kThere6 = std::string{"\x20\x01\x0D\xB8", 4} + std::string(11, '\0') + "\x07";
const std::string kOther{"\xC0\x00\x02\x08", 4};

NeighbourEntry said_of(const std::string& bytes, const char* address = "192.0.2.7") {
  return read_neighbours(bytes, IpAddress::parse(address).value());
}

}  // namespace

TEST_CASE("Neighbours: a machine that was asked for and does not answer is silent", "[doctor]") {
  CHECK(said_of(entry(kThere, NUD_INCOMPLETE)).silent);
  CHECK(said_of(entry(kThere, NUD_FAILED)).silent);
  CHECK(said_of(entry(kOther, NUD_REACHABLE) + entry(kThere, NUD_FAILED)).silent);
  CHECK(said_of(entry(kThere6, NUD_FAILED), "2001:db8::7").silent);
}

TEST_CASE("Neighbours: one that answered, or for which nobody asked, is not silent", "[doctor]") {
  const NeighbourEntry stale = said_of(entry(kThere, NUD_STALE));
  CHECK_FALSE(stale.silent);
  CHECK(stale.answered);
  const NeighbourEntry other = said_of(entry(kOther, NUD_FAILED) + entry(kThere6, NUD_FAILED));
  CHECK_FALSE(other.silent);
  CHECK_FALSE(other.answered);
  CHECK_FALSE(said_of(entry(kThere, NUD_NONE)).answered);
  const NeighbourEntry both = said_of(entry(kThere, NUD_FAILED) + entry(kThere, NUD_REACHABLE));
  CHECK((both.silent && both.answered));  // On two interfaces.
}

TEST_CASE("Neighbours: the table ends where the kernel says so, and what is cut off is not read",
          "[doctor]") {
  const std::string whole = entry(kThere, NUD_FAILED);
  CHECK_FALSE(said_of(whole).last);
  CHECK(said_of(whole + message(NLMSG_DONE, std::string(4, '\0'))).last);
  CHECK(said_of(message(NLMSG_ERROR, std::string(4, '\0'))).last);
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(said_of(whole.substr(0, size)).silent);
}
