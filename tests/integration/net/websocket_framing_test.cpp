#include "tunnel-core/net/websocket_framing.hpp"

#include <catch2/catch.hpp>
#include <numeric>
#include <random>

using namespace culvert;

namespace {

Bytes counting(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

Bytes frame(WebSocketOpcode opcode, Bytes payload, const std::optional<WebSocketMask>& mask) {
  Bytes out(kWebSocketHeader);
  out.resize(write_websocket_header(out.data(), opcode, payload.size(), mask));
  if (mask) apply_mask(payload, *mask, 0);
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

void append(Bytes& to, const Bytes& more) {
  to.insert(to.end(), more.begin(), more.end());
}

constexpr WebSocketMask kMask{std::byte{0x11}, std::byte{0xA2}, std::byte{0x3F}, std::byte{0xFF}};

/// Feeds `wire` in pieces of `step` bytes.
Result<Bytes> read_all(WebSocketReader& reader, const Bytes& wire, std::size_t step) {
  Bytes got;
  for (std::size_t at = 0; at < wire.size(); at += step) {
    Bytes piece(wire.begin() + static_cast<std::ptrdiff_t>(at),
                wire.begin() + static_cast<std::ptrdiff_t>(std::min(wire.size(), at + step)));
    auto n = reader.open(piece);
    if (!n) return std::move(n).error();
    got.insert(got.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*n));
  }
  return got;
}

bool refused(Role role, Bytes wire) {
  WebSocketReader reader{role};
  const auto n = reader.open(wire);
  return !n && n.error().code() == Errc::IoFailed;
}

}  // namespace

// docs/protocol.md §3.4
TEST_CASE("WebSocket: bytes come out as they went in, however frames are cut on the way", "[net]") {
  const bool to_gateway = GENERATE(true, false);
  const std::optional<WebSocketMask> mask = to_gateway ? std::optional{kMask} : std::nullopt;
  Bytes wire;
  Bytes sent;
  for (const std::size_t size : {1U, 0U, 125U, 126U, 127U, 1000U, 16370U}) {
    const Bytes payload = counting(size);
    append(wire, frame(WebSocketOpcode::Binary, payload, mask));
    append(sent, payload);
  }
  const std::size_t step = GENERATE(1U, 2U, 3U, 7U, 128U, 4096U, 1000000U);
  WebSocketReader reader{to_gateway ? Role::Gateway : Role::Agent};
  const auto got = read_all(reader, wire, step);
  REQUIRE(got);
  CHECK(*got == sent);
  CHECK_FALSE(reader.closed());
}

// docs/protocol.md §3.4
TEST_CASE("WebSocket: a full frame with its header is one TLS record", "[net]") {
  CHECK(frame(WebSocketOpcode::Binary, Bytes(kWebSocketPayload), kMask).size() <= 16384);
}

// docs/protocol.md §3.4
TEST_CASE("WebSocket: fragments with a ping in between are one stream of bytes, and the ping is told once",
          "[net]") {
  Bytes wire = frame(WebSocketOpcode::Binary, counting(300), {});
  wire[0] &= std::byte{0x7F};  // Not the last fragment.
  append(wire, frame(WebSocketOpcode::Ping, counting(3), {}));
  Bytes second = frame(WebSocketOpcode::Continuation, counting(5), {});
  append(wire, second);
  Bytes expected = counting(300);
  append(expected, counting(5));
  WebSocketReader reader{Role::Agent};
  const auto got = read_all(reader, wire, 11);
  REQUIRE(got);
  CHECK(*got == expected);
  CHECK(reader.take_ping() == counting(3));
  CHECK_FALSE(reader.take_ping().has_value());
}

// docs/protocol.md §3.4
TEST_CASE("WebSocket: nothing behind a Close counts", "[net]") {
  Bytes wire = frame(WebSocketOpcode::Binary, counting(10), {});
  append(wire, frame(WebSocketOpcode::Close, counting(2), {}));
  append(wire, frame(WebSocketOpcode::Binary, counting(10), {}));
  WebSocketReader reader{Role::Agent};
  const auto got = read_all(reader, wire, 1000);
  REQUIRE(got);
  CHECK(got->size() == 10);
  CHECK(reader.closed());
}

// docs/protocol.md §3.4
TEST_CASE("WebSocket: what RFC 6455 forbids, or nobody agreed on, is refused", "[net]") {
  CHECK(refused(Role::Gateway, frame(WebSocketOpcode::Binary, counting(5), {})));
  CHECK(refused(Role::Agent, frame(WebSocketOpcode::Binary, counting(5), kMask)));
  CHECK(refused(Role::Agent, frame(WebSocketOpcode::Text, counting(5), {})));
  CHECK(refused(Role::Agent, frame(WebSocketOpcode::Continuation, counting(5), {})));
  CHECK(refused(Role::Agent, frame(static_cast<WebSocketOpcode>(3), counting(5), {})));
  CHECK(refused(Role::Agent, frame(static_cast<WebSocketOpcode>(11), counting(5), {})));
  CHECK(refused(Role::Agent, frame(WebSocketOpcode::Ping, counting(126), {})));
  Bytes reserved = frame(WebSocketOpcode::Binary, counting(5), {});
  reserved[0] |= std::byte{0x40};
  CHECK(refused(Role::Agent, reserved));
  Bytes endless(10, std::byte{0xFF});
  endless[0] = std::byte{0x82};
  endless[1] = std::byte{127};
  CHECK(refused(Role::Agent, endless));
}

TEST_CASE("WebSocket: any bytes are read or refused", "[net]") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::minstd_rand random{seed};
  for (int i = 0; i < 2000; ++i) {
    Bytes wire(random() % 64);
    for (std::byte& b : wire) b = static_cast<std::byte>(random());
    WebSocketReader reader{i % 2 == 0 ? Role::Agent : Role::Gateway};
    const auto got = read_all(reader, wire, 1 + random() % 9);
    if (got) CHECK(got->size() <= wire.size());
  }
}

// docs/protocol.md §3.4
TEST_CASE("WebSocket: the accept value is that of RFC 6455's own example", "[net]") {
  CHECK(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK(is_websocket_key(new_websocket_key()));
  CHECK(new_websocket_key() != new_websocket_key());
  CHECK_FALSE(is_websocket_key("dGhlIHNhbXBsZSBub25jZQ="));
  CHECK_FALSE(is_websocket_key("dGhlIHNhbXBsZSBub25jZ\r=="));
}
