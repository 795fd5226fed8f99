// Names to addresses on threads of their own, and the sharing of lookups. Needs no name server: only what
// /etc/hosts and the resolver itself answer is asked.
#include "tunnel-core/net/host_lookup.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

namespace culvert {
namespace {

/// Both waits of one lookup, to their end.
std::vector<bool> wait_twice(const std::shared_ptr<HostLookup>& lookup, Duration patience) {
  boost::asio::io_context io;
  std::vector<bool> done;
  for (int i = 0; i < 2; ++i) {
    boost::asio::co_spawn(
        io,
        [&, lookup]() -> boost::asio::awaitable<void> {
          done.push_back(co_await until_done(lookup, patience));
        },
        boost::asio::detached);
  }
  io.run();
  return done;
}

}  // namespace

TEST_CASE("HostLookup: a name has its addresses, and everybody who waits is told", "[net]") {
  const auto lookup = HostLookup::start("localhost");
  REQUIRE(lookup);
  CHECK(wait_twice(lookup, 30s) == std::vector{true, true});
  REQUIRE(lookup->outcome());
  for (const auto& address : *lookup->outcome()) CHECK(address.is_loopback());
}

TEST_CASE("HostLookup: what is no name is NameUnresolved with the resolver's reason", "[net]") {
  const auto lookup = HostLookup::start("no name");
  REQUIRE(lookup);
  CHECK(wait_twice(lookup, 30s) == std::vector{true, true});
  REQUIRE_FALSE(lookup->outcome());
  CHECK(lookup->outcome().error().code() == Errc::NameUnresolved);
  CHECK_FALSE(lookup->outcome().error().message().empty());
}

TEST_CASE("HostLookups: a lookup that is done is made anew, and no more names than allowed run", "[net]") {
  HostLookups lookups{1};
  const auto first = lookups.look_up("localhost");
  REQUIRE(first);
  REQUIRE(wait_twice(first, 30s) == std::vector{true, true});
  const auto second = lookups.look_up("localhost");
  REQUIRE(second);
  CHECK(second != first);
  CHECK_FALSE(HostLookups{0}.look_up("localhost"));
}

}  // namespace culvert
