#include "tunnel-core/net/lane_carrier.hpp"

#include <openssl/rand.h>

#include <algorithm>

#include "tunnel-core/base/assert.hpp"
#include "tunnel-core/net/websocket_framing.hpp"

namespace culvert {
namespace {

/// A full frame is sealed from where it lies; small ones share a record.
class RecordCarrier final : public LaneCarrier {
 public:
  Result<void> put(TlsEngine& engine, const Transmit& frame) override {
    if (frame.payload.empty() && frame.head.size() >= kPackBelow) {
      if (auto sealed = finish(engine); !sealed) return sealed;
      return engine.seal(frame.head);
    }
    if (packed_ + frame.size() > kMaxFrameSize) {
      if (auto sealed = finish(engine); !sealed) return sealed;
    }
    std::ranges::copy(frame.head, pack_ + packed_);
    std::ranges::copy(frame.payload, pack_ + packed_ + frame.head.size());
    packed_ += frame.size();
    return {};
  }

  Result<void> finish(TlsEngine& engine) override {
    if (packed_ == 0) return {};
    return engine.seal({pack_, std::exchange(packed_, 0)});
  }

  std::size_t packed() const override { return packed_; }
  ReadOutcome read_some(TlsEngine& engine, MutableByteSpan out) override { return engine.read_some(out); }
  Result<std::size_t> unwrap(TlsEngine&, MutableByteSpan bytes) override { return bytes.size(); }
  void say_close(TlsEngine&) override {}

 private:
  std::size_t packed_ = 0;
  std::byte pack_[kMaxFrameSize];
};

/// Every byte is gathered behind a header, because a frame of ours does not fit into one of theirs, and
/// masked there by a client.
class WebSocketCarrier final : public LaneCarrier {
 public:
  explicit WebSocketCarrier(Role role) : role_(role), reader_(role) {}

  Result<void> put(TlsEngine& engine, const Transmit& frame) override {
    if (auto taken = append(engine, frame.head); !taken) return taken;
    return append(engine, frame.payload);
  }

  Result<void> finish(TlsEngine& engine) override {
    if (packed_ == 0) return {};
    return seal(engine, WebSocketOpcode::Binary, {record_ + kWebSocketHeader, std::exchange(packed_, 0)});
  }

  std::size_t packed() const override { return packed_; }

  ReadOutcome read_some(TlsEngine& engine, MutableByteSpan out) override {
    for (;;) {
      const ReadOutcome outcome = engine.read_some(out);
      if (outcome.kind != ReadOutcome::Kind::Data) return outcome;
      const auto n = unwrap(engine, out.first(outcome.n));
      if (!n) return {ReadOutcome::Kind::Failed};
      if (*n != 0) return {ReadOutcome::Kind::Data, *n};
      if (reader_.closed()) return {ReadOutcome::Kind::Closed};
    }
  }

  Result<std::size_t> unwrap(TlsEngine& engine, MutableByteSpan bytes) override {
    auto n = reader_.open(bytes);
    if (!n) {
      broken_ = n.error();
      return n;
    }
    if (auto ping = reader_.take_ping()) {
      // Between two records of our own nothing is packed: reading and sending take turns.
      std::byte pong[kWebSocketHeader + kWebSocketControl];
      std::ranges::copy(*ping, pong + kWebSocketHeader);
      if (auto sealed = seal(engine, WebSocketOpcode::Pong, {pong + kWebSocketHeader, ping->size()});
          !sealed) {
        broken_ = sealed.error();
        return std::move(sealed).error();
      }
    }
    return n;
  }

  void say_close(TlsEngine& engine) override {
    constexpr std::size_t kStatus = 2;
    std::byte close[kWebSocketHeader + kStatus];
    close[kWebSocketHeader] = std::byte{1000 >> 8};  // Normal closure.
    close[kWebSocketHeader + 1] = std::byte{1000 & 0xFF};
    // Best effort: a lane that is lost may have nobody left to hear it.
    static_cast<void>(seal(engine, WebSocketOpcode::Close, {close + kWebSocketHeader, kStatus}));
  }

 private:
  Result<void> append(TlsEngine& engine, ByteSpan bytes) {
    while (!bytes.empty()) {
      const std::size_t n = std::min(bytes.size(), kWebSocketPayload - packed_);
      std::ranges::copy(bytes.first(n), record_ + kWebSocketHeader + packed_);
      packed_ += n;
      bytes = bytes.subspan(n);
      if (packed_ < kWebSocketPayload) continue;
      if (auto sealed = finish(engine); !sealed) return sealed;
    }
    return {};
  }

  /// @param payload  has kWebSocketHeader bytes of room before it, and is masked in place.
  Result<void> seal(TlsEngine& engine, WebSocketOpcode opcode, MutableByteSpan payload) {
    std::optional<WebSocketMask> mask;
    if (role_ == Role::Agent) {
      mask = next_mask();
      apply_mask(payload, *mask, 0);
    }
    std::byte header[kWebSocketHeader];
    const std::size_t size = write_websocket_header(header, opcode, payload.size(), mask);
    std::copy_n(header, size, payload.data() - size);
    return engine.seal({payload.data() - size, size + payload.size()});
  }

  /// RFC 6455 §5.3: nobody may foresee a mask. Many are drawn at a time.
  WebSocketMask next_mask() {
    if (masks_used_ == sizeof masks_) {
      const int done = RAND_bytes(reinterpret_cast<unsigned char*>(masks_), sizeof masks_);
      TUNNEL_ASSERT(done == 1);
      masks_used_ = 0;
    }
    WebSocketMask mask;
    std::copy_n(masks_ + masks_used_, mask.size(), mask.begin());
    masks_used_ += mask.size();
    return mask;
  }

  const Role role_;
  WebSocketReader reader_;
  std::size_t packed_ = 0;
  std::byte masks_[256];
  std::size_t masks_used_ = sizeof masks_;
  std::byte record_[kWebSocketHeader + kWebSocketPayload];
};

}  // namespace

std::unique_ptr<LaneCarrier> LaneCarrier::create(Carrier kind, Role role) {
  if (kind == Carrier::WebSocket) return std::make_unique<WebSocketCarrier>(role);
  return std::make_unique<RecordCarrier>();
}

}  // namespace culvert
