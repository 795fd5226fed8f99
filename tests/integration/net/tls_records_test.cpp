#include "tunnel-core/net/tls_records.hpp"

#include <openssl/ssl.h>

#include <catch2/catch.hpp>
#include <initializer_list>

#include "tests/integration/net/libssl_peer.hpp"

namespace culvert::test {
namespace {

Bytes bytes_of(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16)));
  }
  return bytes;
}

/// What the engine says to the records, read into a buffer of a frame's size.
ReadOutcome::Kind answer_to(LibsslPeer& peer, ByteSpan records) {
  peer.send_raw(records);
  Bytes out(kMaxRecordPlaintext);
  return peer.engine.read_some(out).kind;
}

const Bytes kKeyUpdate = bytes_of({24, 0, 0, 1, 0});

}  // namespace

TEST_CASE("TrafficKey: the application data of RFC 8448 section 3 is sealed and opened byte for byte",
          "[net][tls]") {
  const TrafficSecret secret{from_hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")};
  const Bytes record = from_hex(
      "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e"
      "1f"
      "5a6292a2977014bd1e3deae63aeebb21694915e4");
  Bytes content;
  for (int i = 0; i < 50; ++i) content.push_back(static_cast<std::byte>(i));

  auto seal = TrafficKey::create(TrafficKey::Use::Seal, 0x1301, secret);
  Bytes sealed(record.size());
  REQUIRE(seal->seal(RecordType::ApplicationData, content, sealed.data()));
  CHECK(sealed == record);

  auto open = TrafficKey::create(TrafficKey::Use::Open, 0x1301, secret);
  Bytes opened(content.size());
  const auto result = open->open(record, opened.data());
  REQUIRE(result);
  CHECK(result->type == RecordType::ApplicationData);
  CHECK(result->size == content.size());
  CHECK(opened == content);
}

TEST_CASE("TrafficKey: a record opens once, in its turn, and unchanged, or not at all", "[net][tls]") {
  const TrafficSecret secret{pattern(32)};
  auto seal = TrafficKey::create(TrafficKey::Use::Seal, 0x1301, secret);
  const Bytes content = pattern(100);
  Bytes first(content.size() + kRecordOverhead);
  Bytes second(first.size());
  REQUIRE(seal->seal(RecordType::ApplicationData, content, first.data()));
  REQUIRE(seal->seal(RecordType::ApplicationData, content, second.data()));
  const auto opens = [&](const Bytes& record) {
    auto key = TrafficKey::create(TrafficKey::Use::Open, 0x1301, secret);
    Bytes out(content.size());
    return key->open(record, out.data()).has_value();
  };
  REQUIRE(opens(first));
  CHECK_FALSE(opens(second));  // Out of its turn.
  const std::size_t at = GENERATE(0U, 4U, 5U, 60U, 105U, 121U);
  first[at] ^= std::byte{1};
  CHECK_FALSE(opens(first));
}

TEST_CASE("TrafficKey: an unknown suite and a missing secret are refused", "[net][tls]") {
  CHECK_FALSE(TrafficKey::create(TrafficKey::Use::Seal, 0x1304, TrafficSecret{pattern(32)}));
  CHECK_FALSE(TrafficKey::create(TrafficKey::Use::Seal, 0x1301, TrafficSecret{}));
}

TEST_CASE("TlsRecords: libssl reads what we seal and we read what libssl seals, with every suite",
          "[net][tls]") {
  LibsslPeer::Options options;
  options.suite =
      GENERATE("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256");
  options.padding = GENERATE(0U, 512U);
  LibsslPeer peer{options};
  peer.handshake();
  for (const std::size_t size : {1U, 15U, 16U, 17U, 1000U, 16384U, 50000U}) {
    const Bytes up = pattern(size, 1);
    const Bytes down = pattern(size, 2);
    peer.write(up);
    send(peer.engine, down);
    CHECK(read_all(peer.engine) == up);
    CHECK(peer.read() == down);
  }
}

TEST_CASE("TlsRecords: keys updated by libssl, and by us when it asks, change nothing for the data",
          "[net][tls]") {
  LibsslPeer peer;
  peer.handshake();
  const bool asks = GENERATE(false, true);
  for (unsigned round = 1; round <= 3; ++round) {
    REQUIRE(SSL_key_update(peer.ssl(), asks ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
    const Bytes up = pattern(1000, round);
    const Bytes down = pattern(2000, round);
    peer.write(up);
    CHECK(read_all(peer.engine) == up);
    send(peer.engine, down);
    CHECK(peer.read() == down);
    CHECK(peer.engine.key_updates_sent() == (asks ? round : 0));
  }
}

TEST_CASE("TlsRecords: our own key updates are understood by libssl", "[net][tls]") {
  LibsslPeer::Options options;
  options.limits.records_per_key = 3;
  LibsslPeer peer{options};
  peer.handshake();
  for (unsigned round = 0; round < 20; ++round) {
    send(peer.engine, pattern(100, round));
    CHECK(peer.read() == pattern(100, round));
  }
  CHECK(peer.engine.key_updates_sent() == 6);
}

TEST_CASE("TlsRecords: close_notify goes both ways", "[net][tls]") {
  LibsslPeer peer;
  peer.handshake();
  SSL_shutdown(peer.ssl());
  Bytes out(100);
  CHECK(peer.engine.read_some(out).kind == ReadOutcome::Kind::Closed);
  peer.engine.seal_close();
  REQUIRE(peer.engine.flush() == FlushOutcome::Done);
  CHECK(SSL_shutdown(peer.ssl()) == 1);
}

TEST_CASE("TlsRecords: a handshake message may come in pieces", "[net][tls]") {
  LibsslPeer peer;
  peer.handshake();
  for (std::size_t i = 0; i < kKeyUpdate.size(); ++i) {
    CHECK(answer_to(peer, peer.forge(RecordType::Handshake, ByteSpan{kKeyUpdate}.subspan(i, 1))) ==
          ReadOutcome::Kind::WouldBlock);
  }
  CHECK(peer.engine.peer_messages_received() == 1);
}

TEST_CASE("TlsRecords: a user_canceled alert and a few empty records are passed over", "[net][tls]") {
  LibsslPeer peer;
  peer.handshake();
  CHECK(answer_to(peer, peer.forge(RecordType::Alert, bytes_of({1, 90}))) == ReadOutcome::Kind::WouldBlock);
  for (int i = 0; i < 32; ++i) {
    CHECK(answer_to(peer, peer.forge(RecordType::ApplicationData, {})) == ReadOutcome::Kind::WouldBlock);
  }
  CHECK(answer_to(peer, peer.forge(RecordType::ApplicationData, pattern(10))) == ReadOutcome::Kind::Data);
}

TEST_CASE("TlsRecords: what TLS does not allow ends the connection with an alert", "[net][tls]") {
  LibsslPeer peer;
  peer.handshake();
  Bytes records;
  const auto add = [&](RecordType type, const Bytes& content) {
    const Bytes record = peer.forge(type, content);
    records.insert(records.end(), record.begin(), record.end());
  };
  SECTION("a message behind a key update in one record") {
    Bytes two = kKeyUpdate;
    two.insert(two.end(), kKeyUpdate.begin(), kKeyUpdate.end());
    add(RecordType::Handshake, two);
  }
  SECTION("a key update that asks for neither") {
    add(RecordType::Handshake, bytes_of({24, 0, 0, 1, 2}));
  }
  SECTION("a key update of two bytes") {
    add(RecordType::Handshake, bytes_of({24, 0, 0, 2, 0, 0}));
  }
  SECTION("a ticket from a client") {
    add(RecordType::Handshake, bytes_of({4, 0, 0, 1, 0}));
  }
  SECTION("a message of another kind") {
    add(RecordType::Handshake, bytes_of({1, 0, 0, 1, 0}));
  }
  SECTION("a message of 16 MiB") {
    add(RecordType::Handshake, bytes_of({24, 255, 255, 255}));
  }
  SECTION("a handshake record without content") {
    add(RecordType::Handshake, {});
  }
  SECTION("an alert of three bytes") {
    add(RecordType::Alert, bytes_of({1, 0, 0}));
  }
  SECTION("a record of no known type") {
    add(static_cast<RecordType>(99), bytes_of({1}));
  }
  SECTION("nothing but padding") {
    add(RecordType::Padding, Bytes(100));
  }
  SECTION("empty records without end") {
    for (int i = 0; i < 33; ++i) add(RecordType::ApplicationData, {});
  }
  SECTION("a record that is not sealed") {
    records = bytes_of({21, 3, 3, 0, 2, 1, 0});
  }
  SECTION("a record that is too long") {
    records = bytes_of({23, 3, 3, 0x40, 0x12});
  }
  SECTION("a record that is too short") {
    records = bytes_of({23, 3, 3, 0, 16});
  }
  SECTION("a record changed on its way") {
    add(RecordType::ApplicationData, pattern(100));
    records.back() ^= std::byte{1};
  }
  CHECK(answer_to(peer, records) == ReadOutcome::Kind::Failed);
  CHECK(peer.engine.last_error().code() == Errc::TlsFailed);
  CHECK(peer.engine.unsent() == kRecordOverhead + 2);
  CHECK(peer.engine.flush() == FlushOutcome::Done);
}

TEST_CASE("TlsRecords: a peer's alert is told in its own words", "[net][tls]") {
  LibsslPeer peer;
  peer.handshake();
  REQUIRE(answer_to(peer, peer.forge(RecordType::Alert, bytes_of({2, 80}))) == ReadOutcome::Kind::Failed);
  CHECK(peer.engine.last_error().message() ==
        "TLS read failed: the peer ended it with \"internal error\" (TLS alert 80)");
}

}  // namespace culvert::test
