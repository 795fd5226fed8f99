// A stream of bytes in binary frames of RFC 6455 and back, without I/O. Boundaries of frames and messages
// mean nothing here: only their bytes count (docs/protocol.md §3.4).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/mux/session_config.hpp"

namespace culvert {

/// With the longest header of 14 bytes, a frame is still one TLS record of 16,384 bytes.
inline constexpr std::size_t kWebSocketPayload = 16370;
inline constexpr std::size_t kWebSocketHeader = 14;
inline constexpr std::size_t kWebSocketControl = 125;  ///< The most that ping, pong and close carry.

enum class WebSocketOpcode : std::uint8_t {
  Continuation = 0,
  Text = 1,
  Binary = 2,
  Close = 8,
  Ping = 9,
  Pong = 10,
};

using WebSocketMask = std::array<std::byte, 4>;

/// XORs `bytes` with the mask, of which `phase` bytes have been used before.
void apply_mask(MutableByteSpan bytes, const WebSocketMask& mask, std::size_t phase);

/// The header of one whole message of one frame.
/// @param mask  what a client must send; the payload is the caller's to mask.
/// @return how many bytes of `out` it takes; `out` holds kWebSocketHeader.
std::size_t write_websocket_header(std::byte* out, WebSocketOpcode opcode, std::size_t payload,
                                   const std::optional<WebSocketMask>& mask);

class WebSocketReader {
 public:
  /// @param reader  whose end this is: a gateway demands masked frames, an agent refuses them.
  explicit WebSocketReader(Role reader) : expects_mask_(reader == Role::Gateway) {}

  /// Takes what came, cut anywhere, and leaves the payload at its front.
  /// @return how many bytes of payload. Nothing behind a Close counts.
  /// @error IoFailed: not a frame of ours (text, an extension's bits, a wrong mask, a broken control frame).
  Result<std::size_t> open(MutableByteSpan bytes);

  /// The peer has said Close.
  bool closed() const { return closed_; }
  /// What the latest Ping carried, once.
  std::optional<Bytes> take_ping() { return std::exchange(ping_, std::nullopt); }

 private:
  bool header_complete();
  Result<void> begin_frame();
  void end_frame();

  const bool expects_mask_;
  std::array<std::byte, kWebSocketHeader> header_{};
  std::size_t header_size_ = 0;
  bool in_payload_ = false;
  bool in_message_ = false;  ///< A Binary frame without FIN came; continuations may follow.
  WebSocketOpcode opcode_ = WebSocketOpcode::Binary;
  std::uint64_t left_ = 0;  ///< Of the payload.
  WebSocketMask mask_{};
  std::size_t mask_phase_ = 0;
  Bytes control_;
  std::optional<Bytes> ping_;
  bool closed_ = false;
};

/// The value of Sec-WebSocket-Accept for a client's Sec-WebSocket-Key.
std::string websocket_accept(std::string_view key);
/// A fresh Sec-WebSocket-Key.
std::string new_websocket_key();
/// 24 characters of base64 that stand for 16 bytes.
bool is_websocket_key(std::string_view key);

}  // namespace culvert
