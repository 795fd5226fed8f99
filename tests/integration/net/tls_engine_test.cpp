#include "tunnel-core/net/tls_engine.hpp"

#include <openssl/ssl.h>

#include <catch2/catch.hpp>

#include "tests/integration/net/engine_link.hpp"
#include "tests/integration/net/test_identities.hpp"

namespace culvert::test {
namespace {

constexpr std::size_t kSealedSize = 5 + kMaxRecordPlaintext + 1 + 16;  // Header, content type, tag.

EngineLink lane_link(TlsLimits limits = {}) {
  return EngineLink{lane_context(identities().site), server_context(), limits};
}

ReadOutcome::Kind read_one(TlsEngine& engine) {
  Bytes record(kMaxRecordPlaintext);
  return engine.read_some(record).kind;
}

}  // namespace

// docs/protocol.md §3.1
TEST_CASE("TlsEngine: a lane's handshake agrees on culvert/1 and shows the client's certificate",
          "[net][tls]") {
  EngineLink link = lane_link();
  REQUIRE(link.handshake());
  CHECK(link.client.selected_alpn() == kTunnelAlpn);
  CHECK(link.server.selected_alpn() == kTunnelAlpn);
  CHECK(link.server.peer_certificate() != nullptr);
  CHECK(link.client.peer_certificate() != nullptr);
}

// docs/protocol.md §3.5
TEST_CASE("TlsEngine: a client that offers http/1.1 is not asked for a certificate", "[net][tls]") {
  EngineLink link{browser_context(), server_context()};
  REQUIRE(link.handshake());
  CHECK(link.server.selected_alpn() == kHttpAlpn);
  CHECK(link.server.peer_certificate() == nullptr);
}

TEST_CASE("TlsEngine: a client without ALPN gets plain HTTPS, also with a certificate at hand",
          "[net][tls]") {
  auto context = TlsContext::client(
      {identities().site.chain_pem, identities().site.key_pem, std::string{}, verifies_server()});
  REQUIRE(context);
  EngineLink link{*context, server_context()};
  REQUIRE(link.handshake());
  CHECK(link.server.selected_alpn().empty());
  CHECK(link.server.peer_certificate() == nullptr);
}

// docs/protocol.md §3.2
TEST_CASE("TlsEngine: a full frame is exactly one record, one byte more would be two", "[net][tls]") {
  EngineLink link = lane_link();
  REQUIRE(link.handshake());
  const Bytes frame = pattern(kMaxRecordPlaintext);
  REQUIRE(link.client.seal(frame));
  CHECK(link.client.unsent() == kSealedSize);
  REQUIRE(link.client.flush() == FlushOutcome::Done);
  CHECK(link.client.unsent() == 0);
  link.carry_to_server();

  Bytes out(2 * kMaxRecordPlaintext);
  const std::uint64_t records_before = link.server.records_received();
  const ReadOutcome outcome = link.server.read_some(out);
  REQUIRE(outcome.kind == ReadOutcome::Kind::Data);
  CHECK(outcome.n == frame.size());
  CHECK(link.server.records_received() == records_before + 1);
  out.resize(outcome.n);
  CHECK(out == frame);
}

TEST_CASE("TlsEngine: many records leave in one send and arrive with one receive", "[net][tls]") {
  EngineLink link = lane_link();
  REQUIRE(link.handshake());
  const Bytes data = pattern(10 * kMaxRecordPlaintext);
  for (std::size_t i = 0; i < 10; ++i) {
    REQUIRE(link.client.seal(ByteSpan{data}.subspan(i * kMaxRecordPlaintext, kMaxRecordPlaintext)));
  }
  CHECK(link.client.unsent() == 10 * kSealedSize);
  REQUIRE(link.client.flush() == FlushOutcome::Done);
  link.carry_to_server();

  const std::uint64_t received_before = link.server.bytes_received();
  REQUIRE(read_one(link.server) == ReadOutcome::Kind::Data);
  CHECK(link.server.bytes_received() == received_before + 10 * kSealedSize);
  CHECK(link.server.wants_read_now());
  CHECK(read_all(link.server).size() == 9 * kMaxRecordPlaintext);
  CHECK_FALSE(link.server.wants_read_now());
}

TEST_CASE("TlsEngine: records cut anywhere on the way arrive whole, and half of one does not spin",
          "[net][tls]") {
  EngineLink link = lane_link();
  REQUIRE(link.handshake());
  const Bytes data = pattern(3 * kMaxRecordPlaintext + 100);
  const std::size_t cut = GENERATE(1U, 4U, 5U, 6U, 1000U, 16405U, 16406U, 16407U);
  send(link.client, data);
  Bytes arrived;
  for (;;) {
    const std::size_t carried = link.carry_piece_to_server(cut);
    const Bytes some = read_all(link.server);
    CHECK_FALSE(link.server.wants_read_now());
    arrived.insert(arrived.end(), some.begin(), some.end());
    if (carried == 0) break;
  }
  CHECK(arrived == data);
}

TEST_CASE("TlsEngine: the server reads byte by byte what was sealed as one record", "[net][tls]") {
  EngineLink link = lane_link();
  REQUIRE(link.handshake());
  const Bytes data = pattern(100);
  send(link.client, data);
  link.carry_to_server();
  Bytes arrived;
  std::byte one{};
  while (link.server.read_some({&one, 1}).kind == ReadOutcome::Kind::Data) {
    arrived.push_back(one);
    CHECK(link.server.wants_read_now() == (arrived.size() < data.size()));
  }
  CHECK(arrived == data);
}

// docs/protocol.md §3.2
TEST_CASE("TlsEngine: keys are updated every so many records, in both directions, and data goes on",
          "[net][tls]") {
  TlsLimits limits;
  limits.records_per_key = 10;
  limits.records_per_peer_message = 10;
  EngineLink link = lane_link(limits);
  REQUIRE(link.handshake());
  for (unsigned round = 0; round < 105; ++round) {
    const Bytes down = pattern(500, round);
    const Bytes up = pattern(700, round + 1000);
    send(link.client, up);
    send(link.server, down);
    link.carry_to_server();
    link.carry_to_client();
    REQUIRE(read_all(link.server) == up);
    REQUIRE(read_all(link.client) == down);
  }
  CHECK(link.client.key_updates_sent() == 10);
  CHECK(link.server.key_updates_sent() == 10);
  CHECK(link.server.peer_messages_received() == 10);
}

// docs/protocol.md §3.2
TEST_CASE("TlsEngine: a peer that floods key updates loses its connection", "[net][tls]") {
  TlsLimits limits;
  limits.records_per_key = 1;
  EngineLink link = lane_link(limits);
  REQUIRE(link.handshake());
  const Bytes data = pattern(10);
  for (int i = 0; i < 20; ++i) send(link.client, data);
  link.carry_to_server();
  ReadOutcome::Kind kind{};
  int reads = 0;
  do {
    kind = read_one(link.server);
    ++reads;
  } while (kind == ReadOutcome::Kind::Data);
  CHECK(kind == ReadOutcome::Kind::Failed);
  CHECK(reads < 12);
  CHECK(link.server.last_error().message() == "TLS read failed: the peer sends too many key updates");
}

// docs/protocol.md §3.5 and §4
TEST_CASE("TlsEngine: the exporter is equal at both ends and differs by label and connection", "[net][tls]") {
  EngineLink link = lane_link();
  EngineLink other = lane_link();
  REQUIRE(link.handshake());
  REQUIRE(other.handshake());
  CHECK(link.client.exporter("EXPORTER-culvert-lane") == link.server.exporter("EXPORTER-culvert-lane"));
  CHECK(link.client.exporter("EXPORTER-culvert-lane") != link.client.exporter("EXPORTER-other"));
  CHECK(link.client.exporter("EXPORTER-culvert-lane") != other.client.exporter("EXPORTER-culvert-lane"));
}

// docs/protocol.md §3.3
TEST_CASE("TlsEngine: an orderly close is told from a cut", "[net][tls]") {
  EngineLink link = lane_link();
  REQUIRE(link.handshake());
  send(link.client, pattern(10));
  SECTION("close_notify") {
    link.client.seal_close();
    REQUIRE(link.client.flush() == FlushOutcome::Done);
    link.carry_to_server();
    link.cut_towards_server();
    CHECK(read_one(link.server) == ReadOutcome::Kind::Data);
    CHECK(read_one(link.server) == ReadOutcome::Kind::Closed);
    CHECK(read_one(link.server) == ReadOutcome::Kind::Closed);
    CHECK_FALSE(link.client.seal(pattern(1)));
  }
  SECTION("end of TCP alone") {
    link.carry_to_server();
    link.cut_towards_server();
    CHECK(read_one(link.server) == ReadOutcome::Kind::Data);
    CHECK(read_one(link.server) == ReadOutcome::Kind::Failed);
    CHECK(link.server.last_error().code() == Errc::IoFailed);
    CHECK(link.server.last_error().message() ==
          "TLS read failed: the connection was cut, the peer did not end TLS");
    CHECK_FALSE(link.server.seal(pattern(1)));
  }
}

TEST_CASE("TlsEngine: one changed bit ends the connection", "[net][tls]") {
  EngineLink link = lane_link();
  REQUIRE(link.handshake());
  Bytes forged(5 + 40, std::byte{0x5a});
  forged[0] = std::byte{23};
  forged[1] = forged[2] = std::byte{3};
  forged[3] = std::byte{0};
  forged[4] = std::byte{40};
  link.inject_to_server(forged);
  CHECK(read_one(link.server) == ReadOutcome::Kind::Failed);
  CHECK(link.server.last_error().code() == Errc::TlsFailed);
  CHECK(link.server.unsent() != 0);  // The alert that the caller flushes.
}

TEST_CASE("TlsEngine: memory released while idle comes back with the next record", "[net][tls]") {
  EngineLink link = lane_link();
  REQUIRE(link.handshake());
  for (unsigned round = 0; round < 3; ++round) {
    const Bytes data = pattern(40000, round);
    send(link.client, data);
    link.client.release_idle_memory();
    link.carry_to_server();
    link.server.release_idle_memory();
    Bytes half(10);
    REQUIRE(link.server.read_some(half).kind == ReadOutcome::Kind::Data);
    link.server.release_idle_memory();  // In the middle of a record: nothing may be lost.
    Bytes arrived = half;
    const Bytes rest = read_all(link.server);
    arrived.insert(arrived.end(), rest.begin(), rest.end());
    CHECK(arrived == data);
  }
}

}  // namespace culvert::test
