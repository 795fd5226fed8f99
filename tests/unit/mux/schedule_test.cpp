// Who sends next: weights, sparse streams, redelivered bytes.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "tests/unit/mux/raw_peer.hpp"

namespace culvert {
namespace {

StreamId open_weighted(RawPeer& peer, std::uint8_t weight) {
  const auto id = peer.session.open_stream({"target", "", weight}, nullptr, peer.now);
  REQUIRE(id);
  peer.take();
  peer.send_ack(id->value, 0, 1 << 30);
  peer.session.release_held();
  peer.take();  // Our ACK with its first grant.
  return *id;
}

/// Sends until `bytes` went out, each stream always having more; `refill_every` frames are sent between two
/// looks at the sockets, as a lane with a full budget does.
std::map<std::uint32_t, std::uint64_t> run(RawPeer& peer, const std::vector<StreamId>& streams,
                                           std::uint64_t bytes, std::size_t refill_every) {
  std::map<std::uint32_t, std::uint64_t> sent;
  std::uint64_t total = 0;
  while (total < bytes) {
    for (const StreamId id : streams) peer.write(id, 1 << 20);
    for (std::size_t i = 0; i < refill_every; ++i) {
      const auto frame = peer.session.poll_transmit(LaneId{1}, peer.now);
      if (!frame) break;
      const auto header = decode_header(frame->head.data());
      sent[header->stream.value] += header->length;
      total += header->length;
      if (header->type == FrameType::Data) {
        peer.send_ack(header->stream.value, header->offset + header->length, 1 << 30);
      }
    }
  }
  return sent;
}

}  // namespace

// docs/protocol.md §9
TEST_CASE("Scheduler: streams of weight 1, 2 and 4 share a lane as 1 to 2 to 4", "[mux][schedule]") {
  for (const std::size_t refill_every : {1U, 4U, 16U}) {
    INFO("refilled every " << refill_every << " frames");
    RawPeer peer;
    peer.attach();
    std::vector<StreamId> streams;
    for (const unsigned weight : {1U, 2U, 4U})
      streams.push_back(open_weighted(peer, static_cast<std::uint8_t>(weight)));
    auto sent = run(peer, streams, 100 << 20, refill_every);
    const double unit = static_cast<double>(100 << 20) / 7;
    CHECK(static_cast<double>(sent[2]) == Approx(unit).epsilon(0.03));
    CHECK(static_cast<double>(sent[4]) == Approx(2 * unit).epsilon(0.03));
    CHECK(static_cast<double>(sent[6]) == Approx(4 * unit).epsilon(0.03));
  }
}

// docs/protocol.md §9
TEST_CASE("Scheduler: on a slow lane streams of the default weight take turns by frames", "[mux][schedule]") {
  RawPeer peer;
  peer.attach();
  const std::vector<StreamId> streams{open_weighted(peer, kDefaultWeight),
                                      open_weighted(peer, kDefaultWeight),
                                      open_weighted(peer, kDefaultWeight)};
  run(peer, streams, 1 << 20, 1);  // None of them has only just become busy then.
  std::vector<std::uint32_t> order;
  for (int i = 0; i < 9; ++i) {
    for (const StreamId id : streams) peer.write(id, 1 << 20);
    const auto frame = peer.session.poll_transmit(LaneId{1}, peer.now);
    REQUIRE(frame);
    order.push_back(decode_header(frame->head.data())->stream.value);
  }
  CHECK(std::set<std::uint32_t>(order.begin(), order.begin() + 3).size() == 3);
  for (std::size_t i = 3; i < order.size(); ++i) CHECK(order[i] == order[i - 3]);
}

// docs/protocol.md §9
TEST_CASE("Scheduler: what waited for a new lane goes out in turns of 4 KiB", "[mux][schedule]") {
  RawPeer peer;
  peer.attach(1);
  std::vector<StreamId> streams;
  for (int i = 0; i < 64; ++i) streams.push_back(open_weighted(peer, kDefaultWeight));
  peer.session.handle_lane_lost(LaneId{1}, peer.now);
  for (const StreamId id : streams) peer.write(id, 64 * 1024);
  peer.attach(2);
  std::set<std::uint32_t> told;
  std::size_t bytes = 0;
  while (told.size() < streams.size()) {
    const auto frame = peer.session.poll_transmit(LaneId{2}, peer.now);
    REQUIRE(frame);
    const auto header = decode_header(frame->head.data());
    if (header->type == FrameType::Data) told.insert(header->stream.value);
    bytes += kFrameHeaderSize + header->length;
  }
  CHECK(bytes < 64 * 5 * 1024);
}

// docs/protocol.md §9
TEST_CASE("Scheduler: a stream that has just become busy goes before bulk", "[mux][schedule]") {
  RawPeer peer;
  peer.attach();
  const StreamId bulk = open_weighted(peer, 16);
  const StreamId sparse = open_weighted(peer, 1);
  peer.write(bulk, 1 << 20);
  peer.session.poll_transmit(LaneId{1}, peer.now);
  for (int i = 0; i < 50; ++i) {
    peer.write(bulk, 1 << 20);
    for (int j = 0; j < 3; ++j) peer.session.poll_transmit(LaneId{1}, peer.now);
    peer.write(sparse, 100);
    const auto next = peer.session.poll_transmit(LaneId{1}, peer.now);
    REQUIRE(next);
    CHECK(decode_header(next->head.data())->stream == sparse);
  }
}

// docs/protocol.md §9
TEST_CASE("Scheduler: control goes before data, redelivered bytes before new ones", "[mux][schedule]") {
  RawPeer peer;
  peer.attach(1);
  const StreamId id = open_weighted(peer, 4);
  peer.attach(2);
  peer.write(id, 3 * kMaxPayload);
  CHECK(peer.session.poll_transmit(LaneId{1}, peer.now));
  peer.take(2);
  peer.write(id, 3 * kMaxPayload);
  peer.session.handle_lane_lost(LaneId{1}, peer.now);
  const auto other = peer.session.open_stream({"target", "", 4}, nullptr, peer.now);
  const auto sent = peer.take(2);
  const auto first_data = std::find_if(
      sent.begin(), sent.end(), [](const SentFrame& frame) { return frame.header.type == FrameType::Data; });
  REQUIRE(first_data != sent.end());
  CHECK(first_data->header.offset == 0);
  CHECK(std::any_of(sent.begin(), first_data,
                    [&](const SentFrame& frame) { return frame.header.stream == *other; }));
  CHECK(std::all_of(first_data, sent.end(),
                    [](const SentFrame& frame) { return frame.header.type == FrameType::Data; }));
}

}  // namespace culvert
