// One session and a peer that is nothing but raw frames: what it says is what the test wrote.
#pragma once

#include <vector>

#include "tests/support/slab_region.hpp"
#include "tunnel-core/mux/session.hpp"

namespace culvert {

struct SentFrame {
  FrameHeader header;
  Bytes payload;
};

/// One line for each frame: dump() of its header.
std::vector<std::string> dumps(const std::vector<SentFrame>& frames);

class RawPeer {
 public:
  explicit RawPeer(SessionConfig config = {}, std::size_t slab_count = 4096,
                   ByteCount process_ceiling = 1_GiB);

  Instant now{1h};
  SlabRegion region;
  SlabPool slabs;
  ProcessMemory process;
  Session session;

  void attach(std::uint32_t lane = 1, std::uint32_t epoch = 1, ByteCount replay = 64_MiB);
  /// The peer sends this frame, its length set by the payload.
  void send(FrameHeader header, ByteSpan payload = {}, std::uint32_t lane = 1);
  void send_data(std::uint32_t stream, std::uint64_t offset, std::size_t n, bool fin = false,
                 std::uint32_t lane = 1);
  void send_ack(std::uint32_t stream, std::uint64_t accepted, std::uint64_t granted, std::uint8_t flags = 0,
                std::uint32_t lane = 1);
  void send_open(std::uint32_t stream, const OpenInfo& info = {"target", "", kDefaultWeight},
                 std::uint32_t lane = 1);
  void send_receipt(std::uint64_t n, std::uint32_t lane = 1);

  /// All that the session wants to send on this lane now.
  std::vector<SentFrame> take(std::uint32_t lane = 1);
  /// As take(), but only frames of one type.
  std::vector<SentFrame> take(FrameType type, std::uint32_t lane = 1);
  /// Lets time pass from timer to timer, as a driver would. The peer is silent but for signs of life.
  void pass(Duration time, bool lanes_live = true);

  /// Opened by the session itself and answered by the peer with `granted`. What the session tells of it is
  /// due at once, here and in accept().
  StreamId open(std::uint64_t granted = 1 << 20);
  /// Opened by the peer and accepted.
  void accept(std::uint32_t stream);
  /// Reads n bytes from the "socket", as many as there is room for. Returns how many.
  std::size_t write(StreamId stream, std::size_t n);
  /// Takes all readable bytes for the "socket".
  std::size_t read(StreamId stream, std::size_t most = ~std::size_t{});

  std::vector<StreamEvent> stream_events();
  bool has_event(StreamId stream, StreamSignal signal);
  /// The reason of the session's end, or Errc{}.
  Errc ended_with();
  std::vector<SessionEvent> session_events;

 private:
  std::vector<LaneId> lanes_;
};

}  // namespace culvert
