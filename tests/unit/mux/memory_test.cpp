// Credit and memory: granted only for what is reserved, returned when idle, refused where the slabs end.
#include <catch2/catch.hpp>
#include <map>

#include "tests/unit/mux/raw_peer.hpp"
#include "tunnel-core/wire/frame.hpp"

namespace culvert {
namespace {

std::uint64_t last_granted(const std::vector<SentFrame>& acks) {
  return acks.empty() ? 0 : decode_granted(acks.back().payload);
}

}  // namespace

TEST_CASE("ACK: goes out within 10 ms of the first byte accepted", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.accept(2);
  peer.take();
  peer.send_data(2, 0, 100);
  peer.read(StreamId{2});
  peer.pass(9ms);
  CHECK(peer.take(FrameType::Ack).empty());
  peer.pass(1ms);
  const auto acks = peer.take(FrameType::Ack);
  REQUIRE(acks.size() == 1);
  CHECK(acks[0].header.offset == 100);
}

// docs/protocol.md §8.2
TEST_CASE("Memory: streams that are over count until the peer has receipted their end", "[mux][hostile]") {
  RawPeer peer{{.role = Role::Gateway, .memory = 2_MiB, .streams = 10}};
  peer.attach();
  std::uint32_t id = 2;
  for (; id < 2 * 200; id += 2) peer.send_open(id);
  const std::size_t resets = peer.take(FrameType::Reset).size();
  CHECK(resets == 200 - 1 - 10);
  CHECK(peer.session.stats().memory_bytes >= 10 * (2 * kMinimumWindow) + 199 * kStreamObject);
  peer.send_receipt(resets);
  CHECK(peer.session.stats().memory_bytes < 10 * (2 * kMinimumWindow + 2 * kStreamObject));
  // A peer that never receipts comes to the ceiling, and its session ends there.
  for (; peer.ended_with() == Errc{} && id < 100000; id += 2) {
    peer.send_open(id);
    peer.take();
    REQUIRE(peer.session.stats().memory_bytes <= 2 << 20);
  }
  CHECK(peer.ended_with() == Errc::StreamIdInvalid);
  CHECK(id < 2 * 4096);
}

// docs/protocol.md §8.2
TEST_CASE("Memory: sources that come and go while there is no lane meet the ceiling", "[mux]") {
  RawPeer peer{{.memory = 2_MiB}};
  std::size_t opened = 0;
  for (; opened < 100000; ++opened) {
    const auto id = peer.session.open_stream({"target", "", kDefaultWeight}, nullptr, peer.now);
    if (!id) {
      CHECK(id.error().code() == Errc::MemoryLimitReached);
      break;
    }
    peer.session.reset_stream(*id, Errc::StreamCancelled, "the source went away", peer.now);
  }
  CHECK(opened > 1000);
  CHECK(opened <= 2048);
  CHECK(peer.session.stats().memory_bytes <= 2 << 20);
  // With a lane they are told and forgotten, and there is room again.
  peer.attach();
  const std::size_t told = peer.take().size();
  CHECK(told == 2 * opened);
  peer.send_receipt(told);
  CHECK(peer.session.stats().memory_bytes == 0);
  CHECK(peer.session.open_stream({"target", "", kDefaultWeight}, nullptr, peer.now));
}

// docs/protocol.md §8.2
TEST_CASE("Memory: a session that is full can still refuse", "[mux]") {
  RawPeer peer{{.role = Role::Gateway, .memory = 2_MiB}};
  peer.attach();
  std::size_t refused = 0;
  for (std::uint32_t id = 2; id <= 2 * 200; id += 2) {
    peer.send_open(id);
    const std::size_t resets = peer.take(FrameType::Reset).size();
    refused += resets;
  }
  CHECK(refused > 50);
  CHECK(peer.ended_with() == Errc{});
}

// docs/protocol.md §8.3
TEST_CASE("Credit: is backed by reservations, and the sum stays within the peer's replay memory", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach(1, 1, 300_KiB);
  std::map<std::uint32_t, std::uint64_t> granted;
  std::uint64_t moved = 0;
  const auto extra = [&] {
    for (const SentFrame& ack : peer.take(FrameType::Ack)) {
      granted[ack.header.stream.value] = decode_granted(ack.payload);
    }
    std::uint64_t sum = 0;
    for (const auto& [id, limit] : granted) sum += limit - moved - kMinimumWindow;
    return sum;
  };
  for (std::uint32_t id = 2; id < 20; id += 2) {
    peer.accept(id);
    CHECK(peer.session.stats().memory_bytes >= extra() + id / 2 * 2 * kMinimumWindow);
  }
  CHECK(extra() <= 150 << 10);
  CHECK(extra() >= 145 << 10);
  // The other half is for streams that move bytes.
  while (moved < 64 * kMinimumWindow) {
    for (std::uint32_t id = 2; id < 20; id += 2) {
      peer.send_data(id, moved, kMinimumWindow);
      peer.read(StreamId{id});
    }
    peer.pass(10ms);
    moved += kMinimumWindow;
    CHECK(extra() <= 300 << 10);
  }
  CHECK(extra() >= 290 << 10);
}

// docs/protocol.md §8.3
TEST_CASE("Credit: one stream never takes more than three quarters of what its session has", "[mux]") {
  RawPeer peer{{.role = Role::Gateway, .memory = 4_MiB}};
  peer.attach(1, 1, 1_GiB);
  peer.accept(2);
  std::uint64_t offset = 0;
  for (int i = 0; i < 2000; ++i) {
    peer.send_data(2, offset, 4096);
    offset += peer.read(StreamId{2});
    peer.take();
    CHECK(peer.session.stats().memory_bytes <= (3 << 20) + (64 << 10));
  }
  CHECK(peer.session.stats().memory_bytes >= 2 << 20);
  CHECK(peer.ended_with() == Errc{});
}

// docs/protocol.md §8.2 and §8.4
TEST_CASE("Credit: the minimum moves on where no memory is left", "[mux]") {
  // The stream itself, and the sixteenth that is kept back.
  constexpr std::uint64_t kOneStream = 2 * kMinimumWindow + kStreamObject;
  RawPeer peer{{.role = Role::Gateway}, 4096, ByteCount{kOneStream * 16 / 15 + 1}};
  peer.attach();
  peer.accept(2);
  std::uint64_t granted = last_granted(peer.take(FrameType::Ack));
  std::uint64_t offset = 0;
  for (int i = 0; i < 100; ++i) {
    REQUIRE(granted == offset + kMinimumWindow);
    peer.send_data(2, offset, kMinimumWindow);
    offset += peer.read(StreamId{2});
    peer.pass(10ms);
    granted = last_granted(peer.take(FrameType::Ack));
  }
  CHECK(peer.ended_with() == Errc{});
}

// docs/protocol.md §8.4
TEST_CASE("Credit: a sender idle for 1 s returns all above the minimum, and an ACK does not bring it back",
          "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.accept(2);
  peer.send_ack(2, 0, 1'000'000);
  peer.take();
  peer.pass(2s);
  const auto returns = peer.take(FrameType::Return);
  REQUIRE(returns.size() == 1);
  CHECK(returns[0].header.offset == 1'000'000 - kMinimumWindow);
  CHECK(peer.write(StreamId{2}, 100'000) == kMinimumWindow);
}

// docs/protocol.md §8.4
TEST_CASE("Credit: a direction in which nothing goes is returned, however busy the other is", "[mux]") {
  const bool reads = GENERATE(true, false);
  CAPTURE(reads);
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  peer.accept(2);
  peer.send_ack(2, 0, 1'000'000);
  std::vector<SentFrame> returns;
  for (int i = 0; i < 25; ++i) {
    peer.send_data(2, 100 * i, 100);
    if (reads) peer.read(StreamId{2});
    peer.pass(100ms);
    for (SentFrame& frame : peer.take(FrameType::Return)) returns.push_back(std::move(frame));
  }
  REQUIRE(returns.size() == 1);
  CHECK(returns[0].header.offset == 1'000'000 - kMinimumWindow);
}

// docs/protocol.md §8.4
TEST_CASE("Credit: what the peer returns is released, and an idle stream is not granted it again", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach(1);
  peer.accept(2);
  const std::uint64_t granted = last_granted(peer.take(FrameType::Ack));
  CHECK(granted > kMinimumWindow);
  peer.send({FrameType::Return, 0, 0, StreamId{2}, granted - kMinimumWindow});
  CHECK(peer.session.stats().memory_bytes == 2 * kMinimumWindow + kStreamObject);
  peer.session.handle_lane_lost(LaneId{1}, peer.now);  // Its ACK goes out again.
  peer.attach(2);
  CHECK(last_granted(peer.take(FrameType::Ack, 2)) == granted);
  CHECK(peer.session.stats().memory_bytes == 2 * kMinimumWindow + kStreamObject);
}

// docs/protocol.md §8.4
TEST_CASE("Memory: a thousand idle streams own no slab, and no more than their minimum", "[mux]") {
  RawPeer peer{{.role = Role::Gateway}};
  peer.attach();
  for (std::uint32_t id = 2; id <= 2000; id += 2) {
    peer.accept(id);
    peer.send_ack(id, 0, 100'000);
    peer.send_data(id, 0, 10);
    peer.read(StreamId{id});
    REQUIRE(peer.write(StreamId{id}, 10) == 10);
  }
  peer.take();
  for (std::uint32_t id = 2; id <= 2000; id += 2) peer.send_ack(id, 10, 100'000);
  peer.pass(3s);
  for (const SentFrame& frame : peer.take(FrameType::Return)) {
    CHECK(frame.header.offset == 100'000 - 10 - kMinimumWindow);
  }
  CHECK(peer.slabs.in_use() == 0);
}

TEST_CASE("Memory: many streams that each said a little in one second keep no other from opening", "[mux]") {
  constexpr std::uint32_t kStreams = 4000;
  RawPeer peer{{.role = Role::Gateway, .memory = ByteCount{4 * kStreams * 2 * kMinimumWindow}}};
  peer.attach(1, 1, 1_GiB);
  for (std::uint32_t id = 2; id <= 2 * kStreams; id += 2) {
    peer.accept(id);
    peer.send_data(id, 0, 10);
    peer.read(StreamId{id});
    peer.pass(100us);
    peer.take();
    INFO("stream " << id);
    REQUIRE(peer.session.stats().streams == id / 2);
    REQUIRE(peer.session.stats().reset_total == 0);
  }
}

// docs/protocol.md §8.3
TEST_CASE("Memory: streams whose targets stop reading leave half of it to those that move bytes", "[mux]") {
  constexpr std::uint64_t kMemory = 16 << 20;
  constexpr std::uint32_t kStreams = 200;
  const std::uint64_t moved_before = GENERATE(as<std::uint64_t>{}, kMinimumWindow, 512 << 10);
  CAPTURE(moved_before);
  RawPeer peer{{.role = Role::Gateway, .memory = ByteCount{kMemory}}};
  peer.attach(1, 1, 1_GiB);
  std::map<std::uint32_t, std::uint64_t> offsets;
  const auto move = [&](std::uint32_t id) {
    peer.send_data(id, offsets[id], 4096);
    offsets[id] += peer.read(StreamId{id});
  };
  const auto credit_of_two_after_moving = [&] {
    std::uint64_t granted = 0;
    for (int i = 0; i < 1000; ++i) {
      move(2);
      peer.pass(1ms);
      for (const SentFrame& ack : peer.take(FrameType::Ack)) {
        if (ack.header.stream == StreamId{2}) granted = decode_granted(ack.payload);
      }
    }
    return granted - offsets[2];
  };
  peer.accept(2);
  const std::uint64_t alone = credit_of_two_after_moving();
  for (std::uint32_t i = 0; i < kStreams; ++i) peer.accept(4 + 2 * i);
  while (offsets[4] < moved_before) {
    for (std::uint32_t i = 0; i < kStreams; ++i) move(4 + 2 * i);
    peer.pass(1s);  // So slowly that the minimum is enough for it.
    peer.take();
  }
  const std::uint64_t minimum = (kStreams + 1) * (2 * kMinimumWindow + kStreamObject);
  CHECK(peer.session.stats().memory_bytes <= kMemory / 2 + minimum);
  CHECK(credit_of_two_after_moving() >= alone / 2);
}

TEST_CASE("Memory: a stream that found no slab is told as soon as there is one", "[mux]") {
  RawPeer peer{{}, 8};
  peer.attach();
  const StreamId id = peer.open();
  std::vector<SlabRef> others;
  while (SlabRef slab = peer.slabs.allocate()) others.push_back(slab);
  CHECK(peer.write(id, 10) == 0);
  peer.pass(50ms);
  CHECK(peer.write(id, 10) == 0);
  others.clear();
  peer.pass(10ms);
  CHECK(peer.has_event(id, kWritable));
  CHECK(peer.write(id, 10) == 10);
}

TEST_CASE("Memory: slabs may run out at any step: the stream waits or the session ends, nothing leaks",
          "[mux]") {
  for (std::size_t slabs = 1; slabs <= 40; ++slabs) {
    INFO(slabs << " slabs");
    RawPeer peer{{.role = Role::Gateway}, slabs};
    peer.attach();
    peer.accept(2);
    peer.send_ack(2, 0, 1 << 20);
    peer.write(StreamId{2}, 300'000);
    const auto granted = last_granted(peer.take(FrameType::Ack));
    std::uint64_t offset = 0;
    while (peer.slabs.in_use() < slabs && offset + 9000 < granted) {
      peer.send_data(2, offset + 1, 8999);
      offset += 9000;
      if (peer.ended_with() != Errc{}) break;
    }
    const Errc ended = peer.ended_with();
    CHECK((ended == Errc{} || ended == Errc::InternalError));
    peer.session.end(Errc::SessionClosed, "", peer.now);
    CHECK(peer.slabs.in_use() == 0);
    peer.stream_events();  // A stream is forgotten when its owner has heard of the end.
    CHECK(peer.process.used() == 0);
  }
}

}  // namespace culvert
