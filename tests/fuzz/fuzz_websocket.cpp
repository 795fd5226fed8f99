// What the far end of a WebSocket carrier can send: any bytes, cut anywhere. However they are cut, the same
// payload, the same ping and the same end come out, and it is what a parser that sees all at once makes of
// them.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "tunnel-core/net/websocket_framing.hpp"

namespace {

using namespace culvert;

void require(bool held) {
  if (!held) std::abort();
}

struct Outcome {
  Bytes payload;
  bool broken = false;
  bool closed = false;
  std::optional<Bytes> ping;
};

/// @param most  bytes of a piece; sizes differ by what the piece before held.
Outcome read_in_pieces(Role role, ByteSpan input, std::size_t most) {
  WebSocketReader reader{role};
  Outcome outcome;
  std::size_t chance = most;
  while (!input.empty() && !outcome.broken) {
    const std::size_t n = std::min(input.size(), 1 + chance % most);
    chance = chance * 31 + std::to_integer<std::size_t>(input[n - 1]);
    Bytes piece(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(n));
    const auto kept = reader.open(piece);
    outcome.broken = !kept;
    if (kept) {
      require(*kept <= n);
      outcome.payload.insert(outcome.payload.end(), piece.begin(),
                             piece.begin() + static_cast<std::ptrdiff_t>(*kept));
    }
    input = input.subspan(n);
  }
  outcome.closed = reader.closed();
  outcome.ping = reader.take_ping();
  return outcome;
}

/// The big-endian number at the front.
std::uint64_t number_of(ByteSpan bytes) {
  std::uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<std::uint64_t>(byte);
  return value;
}

/// RFC 6455 §5.2, with all bytes at hand. Payload of a frame that has not come whole counts.
Outcome read_by_the_book(Role role, ByteSpan input) {
  Outcome outcome;
  bool in_message = false;
  while (input.size() >= 2 && !outcome.closed) {
    const auto first = std::to_integer<unsigned>(input[0]);
    const auto second = std::to_integer<unsigned>(input[1]);
    const bool fin = (first & 0x80) != 0;
    const unsigned opcode = first & 0x0F;
    const bool masked = (second & 0x80) != 0;
    const std::size_t extended = (second & 0x7F) == 126 ? 2 : (second & 0x7F) == 127 ? 8 : 0;
    const std::size_t head = 2 + extended + (masked ? 4 : 0);
    if (input.size() < head) return outcome;
    const std::uint64_t length = extended == 0 ? second & 0x7F : number_of(input.subspan(2, extended));
    const ByteSpan mask = input.subspan(head - (masked ? 4 : 0), masked ? 4 : 0);
    const bool data = opcode == 0 || opcode == 2;
    const bool control = opcode == 8 || opcode == 9 || opcode == 10;
    outcome.broken = (first & 0x70) != 0 || masked != (role == Role::Gateway) || (!data && !control) ||
                     (data && (opcode == 0) != in_message) || (data && length >> 63 != 0) ||
                     (control && (!fin || length > kWebSocketControl));
    if (outcome.broken) return outcome;
    if (data) in_message = !fin;
    const auto there = static_cast<std::size_t>(std::min<std::uint64_t>(length, input.size() - head));
    Bytes payload(input.begin() + static_cast<std::ptrdiff_t>(head),
                  input.begin() + static_cast<std::ptrdiff_t>(head + there));
    for (std::size_t i = 0; i < there && masked; ++i) payload[i] ^= mask[i % 4];
    if (data) outcome.payload.insert(outcome.payload.end(), payload.begin(), payload.end());
    if (there < length) return outcome;
    if (opcode == 8) outcome.closed = true;
    if (opcode == 9) outcome.ping = payload;
    input = input.subspan(head + there);
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Role role = (data[0] & 1) != 0 ? Role::Gateway : Role::Agent;
  const ByteSpan input{reinterpret_cast<const std::byte*>(data) + 2, size - 2};
  const Outcome wanted = read_by_the_book(role, input);
  for (const std::size_t most : {std::size_t{1}, std::size_t{2} + data[1], kWebSocketPayload}) {
    const Outcome outcome = read_in_pieces(role, input, most);
    require(outcome.broken == wanted.broken && outcome.closed == wanted.closed);
    if (!wanted.broken) require(outcome.payload == wanted.payload && outcome.ping == wanted.ping);
  }
  return 0;
}
