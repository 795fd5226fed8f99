// One session against a peer that says anything at all, while its owner reads, writes and resets.
// Input: operations of one byte each with their operands behind them.
#include <algorithm>
#include <optional>

#include "tests/support/slab_region.hpp"
#include "tunnel-core/base/byte_cursor.hpp"
#include "tunnel-core/mux/session.hpp"

namespace culvert {
namespace {

class World {
 public:
  explicit World(ByteSpan script)
      : in_(script),
        session_({.role = Role::Gateway, .memory = 1_MiB, .streams = 50}, pool_, process_, now_) {}

  void run() {
    std::uint32_t lane = 0;
    attach(++lane);
    while (!in_.at_end() && !session_.ended()) {
      step(lane);
      drain_session();
      check();
    }
    session_.end(Errc::SessionClosed, "", now_);
    while (session_.poll_stream_event()) {
    }
    for (std::uint32_t id = 1; id <= lane; ++id) session_.handle_lane_lost(LaneId{id}, now_);
    TUNNEL_ASSERT(process_.used() == 0);
    TUNNEL_ASSERT(pool_.in_use() == 0);
  }

 private:
  /// One for all inputs: allocating it costs more than most of them.
  static const SlabRegion& region() {
    static const SlabRegion region{512};
    return region;
  }

  void attach(std::uint32_t lane) {
    (void)session_.attach_lane(LaneId{lane}, epoch_, ByteCount{std::uint64_t{in_.u16()} << 10}, now_);
  }

  void step(std::uint32_t& lane) {
    const std::uint8_t operation = in_.u8();
    const StreamId id{in_.u8()};
    switch (operation % 16) {
      default:
        return send_frame(LaneId{1 + operation / 16 % std::max(lane, 1U)}, id);
      case 8:
        epoch_ += id.value % 4 == 3 ? 1 : 0;
        if (lane < 8) attach(++lane);
        return;
      case 9:
        if (id.value >= 128) return session_.retire_lane(LaneId{id.value - 128});
        return session_.handle_lane_lost(LaneId{id.value}, now_);
      case 10:
        now_ += Duration{std::uint64_t{in_.u16()} * 100'000};
        return session_.handle_timeout(now_);
      case 11:
        return session_.reset_stream(id, Errc::TargetRefused, "no", now_);
      case 12:
        return session_.reset_stream_after_delivery(id, Errc::StreamCancelled, "", now_);
      case 13:
        return write(id, in_.u16());
      case 14:
        return session_.finish_stream(id, now_);
      case 15:
        (void)session_.open_stream({"target", "", kDefaultWeight}, nullptr, now_);
    }
  }

  void send_frame(LaneId lane, StreamId id) {
    const SlabRef slab = pool_.allocate();
    if (!slab) return;
    FrameHeader header{static_cast<FrameType>(1 + in_.u8() % 13), in_.u8(), 0, id, 0};
    // Small numbers are what counters meet; large ones come as shifted bytes.
    header.offset = std::uint64_t{in_.u16()} << (in_.u8() % 50);
    const bool known = header.type == FrameType::Data;
    header.length = known ? static_cast<std::uint16_t>(in_.u16() % (kMaxPayload + 1)) : in_.u8() % 32;
    if (header.type == FrameType::Ack) header.length = 8;
    encode_header(header, slab.data());
    std::fill_n(slab.data() + kFrameHeaderSize, header.length, std::byte{0});
    if (!known) {
      const ByteSpan payload = in_.take(std::min<std::size_t>(header.length, 32));
      std::copy(payload.begin(), payload.end(), slab.data() + kFrameHeaderSize);
    }
    session_.handle_bytes(lane, slab, {slab.data(), std::size_t{kFrameHeaderSize} + header.length}, now_);
  }

  void write(StreamId id, std::size_t n) {
    MutableByteSpan spans[4];
    const std::size_t count = session_.prepare_read(id, spans);
    if (count == 0) return;
    std::size_t room = 0;
    for (std::size_t i = 0; i < count; ++i) room += spans[i].size();
    session_.commit_read(id, std::min(n, room), now_);
  }

  void drain_session() {
    while (session_.poll_session_event()) {
    }
    while (const auto event = session_.poll_stream_event()) {
      if (event->signal == kOffered) session_.accept_stream(event->stream, nullptr, now_);
      if (event->signal != kReadable) continue;
      ByteSpan spans[2];
      const std::size_t count = session_.readable(event->stream, spans);
      if (count > 0) session_.consume(event->stream, spans[0].size() / 2 + 1, now_);
      if (session_.at_end(event->stream)) session_.handle_fin_delivered(event->stream, now_);
    }
    for (std::uint32_t lane = 1; lane <= 8; ++lane) {
      while (session_.poll_transmit(LaneId{lane}, now_)) {
      }
    }
  }

  void check() {
    const SessionStats stats = session_.stats();
    TUNNEL_ASSERT(stats.memory_bytes <= stats.memory_ceiling);
    TUNNEL_ASSERT(process_.used() == stats.memory_bytes);
    TUNNEL_ASSERT(pool_.in_use_bytes() <= stats.memory_bytes + (stats.streams * 3 + 1) * kSlabSize);
  }

  SlabPool pool_{region().span()};
  ProcessMemory process_{2_MiB};
  Reader in_;
  std::uint32_t epoch_ = 1;
  Instant now_{1h};
  Session session_;
};

}  // namespace
}  // namespace culvert

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  culvert::World{std::as_bytes(std::span{data, size})}.run();
  return 0;
}
