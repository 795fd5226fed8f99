#include "tunnel-core/net/websocket_framing.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "tunnel-core/base/assert.hpp"

namespace culvert {
namespace {

constexpr std::byte kFin{0x80};
constexpr std::byte kReservedBits{0x70};
constexpr std::byte kOpcodeBits{0x0F};
constexpr std::byte kMasked{0x80};
constexpr std::byte kLengthBits{0x7F};
constexpr unsigned kLength16 = 126;
constexpr unsigned kLength64 = 127;

unsigned number(std::byte value) {
  return std::to_integer<unsigned>(value);
}

bool is_control(WebSocketOpcode opcode) {
  return number(static_cast<std::byte>(opcode)) >= 8;
}

Error broken(const char* why) {
  return {Errc::IoFailed, std::string{"the peer broke the WebSocket framing: "} + why};
}

std::string base64(const unsigned char* bytes, std::size_t size) {
  std::string text(4 * ((size + 2) / 3) + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(size));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

}  // namespace

void apply_mask(MutableByteSpan bytes, const WebSocketMask& mask, std::size_t phase) {
  // Eight bytes at a time; a compiler makes vectors of it.
  std::array<std::byte, 8> pattern;
  for (std::size_t i = 0; i < pattern.size(); ++i) pattern[i] = mask[(phase + i) % 4];
  std::uint64_t wide = 0;
  std::memcpy(&wide, pattern.data(), sizeof wide);
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    word ^= wide;
    std::memcpy(bytes.data() + i, &word, sizeof word);
  }
  for (; i < bytes.size(); ++i) bytes[i] ^= pattern[i % 8];
}

std::size_t write_websocket_header(std::byte* out, WebSocketOpcode opcode, std::size_t payload,
                                   const std::optional<WebSocketMask>& mask) {
  TUNNEL_ASSERT(payload <= 0xFFFF);
  std::size_t size = 2;
  out[0] = kFin | static_cast<std::byte>(opcode);
  if (payload < kLength16) {
    out[1] = static_cast<std::byte>(payload);
  } else {
    out[1] = std::byte{kLength16};
    out[2] = static_cast<std::byte>(payload >> 8);
    out[3] = static_cast<std::byte>(payload & 0xFF);
    size = 4;
  }
  if (!mask) return size;
  out[1] |= kMasked;
  std::copy(mask->begin(), mask->end(), out + size);
  return size + mask->size();
}

bool WebSocketReader::header_complete() {
  if (header_size_ < 2) return false;
  const unsigned length = number(header_[1] & kLengthBits);
  const std::size_t extended = length == kLength16 ? 2 : length == kLength64 ? 8 : 0;
  const std::size_t mask = (header_[1] & kMasked) != std::byte{0} ? 4 : 0;
  return header_size_ == 2 + extended + mask;
}

Result<void> WebSocketReader::begin_frame() {
  if ((header_[0] & kReservedBits) != std::byte{0})
    return broken("bits of an extension that nobody agreed on");
  const bool masked = (header_[1] & kMasked) != std::byte{0};
  if (masked != expects_mask_)
    return broken(masked ? "a masked frame of a server" : "a frame without a mask");
  const bool fin = (header_[0] & kFin) != std::byte{0};
  const unsigned length = number(header_[1] & kLengthBits);
  const std::size_t extended = length == kLength16 ? 2 : length == kLength64 ? 8 : 0;
  left_ = length;
  if (extended != 0) left_ = 0;
  for (std::size_t i = 0; i < extended; ++i) left_ = left_ << 8 | number(header_[2 + i]);
  if (masked) std::copy_n(header_.begin() + 2 + static_cast<std::ptrdiff_t>(extended), 4, mask_.begin());
  mask_phase_ = 0;
  header_size_ = 0;
  in_payload_ = true;
  opcode_ = static_cast<WebSocketOpcode>(header_[0] & kOpcodeBits);
  switch (opcode_) {
    case WebSocketOpcode::Binary:
    case WebSocketOpcode::Continuation:
      // A middlebox may cut a message into fragments, or join what we sent as several.
      if ((opcode_ == WebSocketOpcode::Continuation) != in_message_) return broken("a fragment out of order");
      in_message_ = !fin;
      if (left_ >> 63 != 0) return broken("an impossible length");
      return {};
    case WebSocketOpcode::Close:
    case WebSocketOpcode::Ping:
    case WebSocketOpcode::Pong:
      if (!fin || left_ > kWebSocketControl)
        return broken("a control frame that is too long or in fragments");
      control_.clear();
      return {};
    case WebSocketOpcode::Text:
      break;
  }
  return broken("a frame that is neither binary nor control");
}

void WebSocketReader::end_frame() {
  in_payload_ = false;
  if (opcode_ == WebSocketOpcode::Ping) ping_ = std::move(control_);
  if (opcode_ == WebSocketOpcode::Close) closed_ = true;
}

Result<std::size_t> WebSocketReader::open(MutableByteSpan bytes) {
  std::size_t kept = 0;
  std::size_t at = 0;
  while (at < bytes.size() && !closed_) {
    if (!in_payload_) {
      header_[header_size_++] = bytes[at++];
      if (!header_complete()) continue;
      if (auto begun = begin_frame(); !begun) return std::move(begun).error();
      if (left_ == 0) end_frame();
      continue;
    }
    const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - at));
    const MutableByteSpan piece = bytes.subspan(at, n);
    if (expects_mask_) apply_mask(piece, mask_, mask_phase_);
    mask_phase_ = (mask_phase_ + n) % 4;
    if (is_control(opcode_)) {
      control_.insert(control_.end(), piece.begin(), piece.end());
    } else {
      if (kept != at) std::memmove(bytes.data() + kept, piece.data(), n);
      kept += n;
    }
    at += n;
    left_ -= n;
    if (left_ == 0) end_frame();
  }
  return kept;
}

std::string websocket_accept(std::string_view key) {
  // The constant is RFC 6455's own (§1.3).
  const std::string text = std::string{key} + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  const int done = EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  TUNNEL_ASSERT(done == 1);
  return base64(digest.data(), size);
}

std::string new_websocket_key() {
  std::array<unsigned char, 16> bytes{};
  const int done = RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
  TUNNEL_ASSERT(done == 1);
  return base64(bytes.data(), bytes.size());
}

bool is_websocket_key(std::string_view key) {
  return key.size() == 24 && key.ends_with("==") && std::all_of(key.begin(), key.end() - 2, [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
                  c == '/';
         });
}

}  // namespace culvert
