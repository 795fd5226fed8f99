#include "tests/integration/net/engine_link.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>

namespace culvert::test {
namespace {

constexpr std::size_t kPiece = 65536;

}  // namespace

SocketPair::SocketPair() {
  std::array<int, 2> fds{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
  ours = UniqueFd{fds[0]};
  wire = UniqueFd{fds[1]};
  const int room = 4 << 20;
  for (const int fd : fds) ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

EngineLink::EngineLink(TlsContext client_context, TlsContext server_context, TlsLimits limits)
    : client(client_pair_.ours.value(), std::move(client_context), limits),
      server(server_pair_.ours.value(), std::move(server_context), limits) {}

bool EngineLink::handshake() {
  for (int step = 0; step < 20; ++step) {
    const HandshakeOutcome at_client = client.handshake();
    carry_to_server();
    const HandshakeOutcome at_server = server.handshake();
    carry_to_client();
    if (at_client == HandshakeOutcome::Done && at_server == HandshakeOutcome::Done) return true;
    if (at_client == HandshakeOutcome::Failed || at_server == HandshakeOutcome::Failed) return false;
  }
  return false;
}

std::size_t EngineLink::carry_to_server() {
  std::size_t carried = 0;
  while (const std::size_t n = carry_piece(client_pair_, server_pair_, kPiece)) carried += n;
  return carried;
}

std::size_t EngineLink::carry_to_client() {
  std::size_t carried = 0;
  while (const std::size_t n = carry_piece(server_pair_, client_pair_, kPiece)) carried += n;
  return carried;
}

std::size_t EngineLink::carry_piece(SocketPair& from, SocketPair& to, std::size_t largest) {
  std::array<std::byte, kPiece> buffer;
  const ssize_t n = ::recv(from.wire.value(), buffer.data(), std::min(largest, buffer.size()), 0);
  if (n <= 0) return 0;
  REQUIRE(::send(to.wire.value(), buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) == n);
  return static_cast<std::size_t>(n);
}

void EngineLink::cut_towards_server() {
  server_pair_.wire = UniqueFd{};
}

void EngineLink::inject_to_server(ByteSpan bytes) {
  REQUIRE(::send(server_pair_.wire.value(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size()));
}

Bytes pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  std::uint32_t state = seed * 2654435761U + 1;
  for (std::byte& b : bytes) {
    state = state * 1664525U + 1013904223U;
    b = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

Bytes read_all(TlsEngine& engine) {
  Bytes all;
  Bytes record(kMaxRecordPlaintext);
  for (;;) {
    const ReadOutcome outcome = engine.read_some(record);
    if (outcome.kind == ReadOutcome::Kind::Failed) FAIL(engine.last_error().to_string());
    if (outcome.kind != ReadOutcome::Kind::Data) return all;
    all.insert(all.end(), record.begin(), record.begin() + static_cast<std::ptrdiff_t>(outcome.n));
  }
}

void send(TlsEngine& engine, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ByteSpan record = bytes.first(std::min(bytes.size(), kMaxRecordPlaintext));
    REQUIRE(engine.seal(record));
    bytes = bytes.subspan(record.size());
  }
  REQUIRE(engine.flush() == FlushOutcome::Done);
}

}  // namespace culvert::test
