#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <stdexcept>

#include "tests/integration/net/connected_streams.hpp"
#include "tunnel-core/base/slab.hpp"
#include "tunnel-core/net/async_event.hpp"
#include "tunnel-core/net/deadline.hpp"
#include "tunnel-core/net/slab_arena.hpp"
#include "tunnel-core/net/socket_options.hpp"
#include "tunnel-core/net/steady_clock.hpp"
#include "tunnel-core/net/task_group.hpp"

namespace culvert::test {
namespace {

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(fd, level, name, &value, &size);
  return value;
}

asio::awaitable<void> count_after(AsyncEvent& event, int& count) {
  co_await event.wait();
  ++count;
}

asio::awaitable<void> throw_at_once() {
  throw std::runtime_error{"it broke"};
  co_return;
}

asio::awaitable<void> join_and_note(TaskGroup& group, std::string& outcome) {
  try {
    co_await group.join();
    outcome = "joined";
  } catch (const std::exception& failure) {
    outcome = failure.what();
  }
}

std::size_t resident_pages(const MutableByteSpan& region) {
  std::vector<unsigned char> pages(region.size() / 4096);
  ::mincore(region.data(), region.size(), pages.data());
  return static_cast<std::size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return (p & 1) != 0; }));
}

}  // namespace

TEST_CASE("SlabArena: memory appears when touched and goes back when released", "[net]") {
  auto arena = SlabArena::create(64 * kSlabSize);
  REQUIRE(arena);
  auto region = arena->take(16 * kSlabSize);
  REQUIRE(region);
  CHECK(resident_pages(*region) == 0);
  std::fill(region->begin(), region->end(), std::byte{7});
  CHECK(resident_pages(*region) == 16 * kSlabSize / 4096);
  arena->release(region->data() + kSlabSize);
  CHECK(resident_pages(*region) == 15 * kSlabSize / 4096);
  CHECK((*region)[0] == std::byte{7});
  CHECK((*region)[kSlabSize] == std::byte{0});
  CHECK((*region)[2 * kSlabSize] == std::byte{7});
}

TEST_CASE("SlabArena: regions do not overlap, and more than there is cannot be taken", "[net]") {
  auto arena = SlabArena::create(4 * kSlabSize);
  REQUIRE(arena);
  auto first = arena->take(1);
  auto second = arena->take(3 * kSlabSize);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->size() == kSlabSize);
  CHECK(second->data() == first->data() + kSlabSize);
  CHECK(arena->take(1).error().code() == Errc::MemoryLimitReached);
  CHECK(SlabArena::create(std::size_t{1} << 60).error().code() == Errc::MemoryLimitReached);
}

TEST_CASE("Socket options: lanes and local sockets get their own and not each other's", "[net]") {
  asio::io_context io;
  ConnectedSockets sockets{io};
  const int lane = sockets.client.native_handle();
  const int local = sockets.server.native_handle();
  const int notsent_before = option(local, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
  tune_lane_socket(lane, {.notsent_lowat_bytes = 65536, .user_timeout = std::chrono::milliseconds{2500}});
  tune_local_socket(local);
  CHECK(option(lane, IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option(lane, IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 65536);
  CHECK(option(lane, IPPROTO_TCP, TCP_USER_TIMEOUT) == 2500);
  CHECK(option(lane, SOL_SOCKET, SO_KEEPALIVE) == 0);
  CHECK(option(local, IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option(local, SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(local, IPPROTO_TCP, TCP_KEEPIDLE) == 60);
  CHECK(option(local, IPPROTO_TCP, TCP_KEEPINTVL) == 10);
  CHECK(option(local, IPPROTO_TCP, TCP_KEEPCNT) == 3);
  CHECK(option(local, IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
  CHECK(option(local, IPPROTO_TCP, TCP_NOTSENT_LOWAT) == notsent_before);
}

TEST_CASE("Socket options: what sends answers is on CUBIC, and what sends bulk to a near host stays there",
          "[net]") {
  asio::io_context io;
  ConnectedSockets sockets{io};
  const int lane = sockets.client.native_handle();
  const auto control = [lane] {
    char name[16] = {};
    socklen_t size = sizeof name;
    ::getsockopt(lane, IPPROTO_TCP, TCP_CONGESTION, name, &size);
    return std::string{name};
  };
  ::setsockopt(lane, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
  tune_for_bulk(lane);
  CHECK(control() == "reno");
  tune_for_answers(lane);
  CHECK(control() == "cubic");
}

TEST_CASE("Socket options: what is accepted has those of a local listener", "[net]") {
  asio::io_context io;
  asio::ip::tcp::acceptor listener{io, {asio::ip::address_v4::loopback(), 0}};
  tune_local_socket(listener.native_handle());
  asio::ip::tcp::socket source{io};
  source.connect(listener.local_endpoint());
  asio::ip::tcp::socket accepted = listener.accept();
  const int local = accepted.native_handle();
  CHECK(option(local, IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option(local, SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(local, IPPROTO_TCP, TCP_KEEPIDLE) == 60);
  CHECK(option(local, IPPROTO_TCP, TCP_KEEPINTVL) == 10);
  CHECK(option(local, IPPROTO_TCP, TCP_KEEPCNT) == 3);
  asio::socket_base::linger closing;
  accepted.get_option(closing);
  CHECK(closing.enabled());
  CHECK(closing.timeout() == 0);
}

TEST_CASE("AsyncEvent: wakes everybody who waits, and nobody who waits later", "[net]") {
  asio::io_context io;
  AsyncEvent event{io.get_executor()};
  TaskGroup group{io.get_executor()};
  int woken = 0;
  group.spawn(count_after(event, woken));
  group.spawn(count_after(event, woken));
  io.poll();
  CHECK(woken == 0);
  event.notify_all();
  group.spawn(count_after(event, woken));
  io.poll();
  CHECK(woken == 2);
  event.notify_all();
  io.poll();
  CHECK(woken == 3);
}

TEST_CASE("TaskGroup: join() returns when the last task has ended", "[net]") {
  asio::io_context io;
  AsyncEvent event{io.get_executor()};
  TaskGroup group{io.get_executor()};
  TaskGroup joiner{io.get_executor()};
  int ended = 0;
  std::string outcome;
  group.spawn(count_after(event, ended));
  joiner.spawn(join_and_note(group, outcome));
  io.poll();
  CHECK(outcome.empty());
  CHECK(group.running() == 1);
  event.notify_all();
  io.poll();
  CHECK(outcome == "joined");
  CHECK(group.running() == 0);
}

TEST_CASE("TaskGroup: an exception reaches join(), or the handler at once", "[net]") {
  asio::io_context io;
  TaskGroup joiner{io.get_executor()};
  std::string outcome;
  SECTION("join rethrows it") {
    TaskGroup group{io.get_executor()};
    group.spawn(throw_at_once());
    joiner.spawn(join_and_note(group, outcome));
    io.poll();
    CHECK(outcome == "it broke");
  }
  SECTION("the handler gets it") {
    int failures = 0;
    TaskGroup group{io.get_executor(), [&](std::exception_ptr) { ++failures; }};
    group.spawn(throw_at_once());
    io.poll();
    CHECK(failures == 1);
    joiner.spawn(join_and_note(group, outcome));
    io.restart();
    io.poll();
    CHECK(outcome == "joined");
  }
}

TEST_CASE("Deadline: fires once, not when it was ended before, and later when restarted", "[net]") {
  asio::io_context io;
  int fired = 0;
  const auto count = [&] { ++fired; };
  SECTION("fires") {
    const Deadline deadline{io.get_executor(), 1ms, count};
    io.run();
    CHECK(fired == 1);
    CHECK(deadline.expired());
  }
  SECTION("ended before") {
    { const Deadline deadline{io.get_executor(), 1ms, count}; }
    io.run();
    CHECK(fired == 0);
  }
  SECTION("ended in the turn in which it would fire") {
    auto deadline = std::make_unique<Deadline>(io.get_executor(), 0ms, count);
    asio::post(io, [&] { deadline.reset(); });
    io.run();
    CHECK(fired == 0);
  }
  SECTION("restarted") {
    const SteadyClock clock;
    const Instant start = clock.now();
    Deadline deadline{io.get_executor(), 1ms, count};
    deadline.restart(20ms);
    io.run();
    CHECK(fired == 1);
    CHECK(clock.now() - start >= 20ms);
  }
}

}  // namespace culvert::test
