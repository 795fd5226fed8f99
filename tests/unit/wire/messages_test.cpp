#include <catch2/catch.hpp>

#include "tunnel-core/wire/hello.hpp"
#include "tunnel-core/wire/open_info.hpp"
#include "tunnel-core/wire/tlv.hpp"

namespace culvert {

// docs/protocol.md §11
TEST_CASE("TLVs: unknown types are kept, a type twice or a cut one is FrameMalformed", "[wire]") {
  Bytes bytes;
  append_tlv(bytes, 1, as_bytes("one"));
  append_tlv(bytes, 999, {});
  const auto list = TlvList::decode(bytes);
  REQUIRE(list);
  CHECK(as_text(list->find(1).value()) == "one");
  CHECK(list->find(999).value().empty());
  CHECK_FALSE(list->find(2));
  for (std::size_t n = 1; n < bytes.size(); ++n) {
    const auto cut = TlvList::decode(ByteSpan{bytes}.first(n));
    CHECK(cut.has_value() == (n == 7));
  }
  append_tlv(bytes, 1, as_bytes("again"));
  const auto twice = TlvList::decode(bytes);
  REQUIRE_FALSE(twice);
  CHECK(twice.error().code() == Errc::FrameMalformed);
}

// docs/protocol.md §6.2 and §11
TEST_CASE("OPEN: comes back as it was", "[wire]") {
  for (const OpenInfo& info : {OpenInfo{"dr-db", "192.0.2.7:51234", 16}, OpenInfo{"a", "", kDefaultWeight},
                               OpenInfo{std::string(63, 'z'), "[2001:db8::7]:1", 1}}) {
    const auto decoded = decode_open(encode_open(info));
    REQUIRE(decoded);
    CHECK(*decoded == info);
  }
}

// docs/protocol.md §6.2 and §11
TEST_CASE("OPEN: names, addresses and weights that break the rules are FrameMalformed", "[wire]") {
  const OpenInfo bad[] = {{"", "", 4},
                          {"UPPER", "", 4},
                          {"a b", "", 4},
                          {"..", "", 4},
                          {"a", "x y", 4},
                          {"a", "x\ny", 4},
                          {"a", "", 0},
                          {"a", "", 17},
                          {std::string(64, 'a'), "", 4},
                          {"a", std::string(65, '1'), 4}};
  for (const OpenInfo& info : bad) {
    const auto decoded = decode_open(encode_open(info));
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code() == Errc::FrameMalformed);
  }
  CHECK_FALSE(decode_open({}));
}

// docs/protocol.md §4
TEST_CASE("HELLO: comes back as it was, cut ones and zeros are refused", "[wire]") {
  Hello hello;
  hello.epoch = 3;
  hello.lane = LaneId{7};
  hello.replay_memory = 64_MiB;
  hello.proof.fill(std::byte{0xab});
  Bytes bytes = encode_hello(hello);
  const auto decoded = decode_hello(bytes);
  REQUIRE(decoded);
  CHECK(decoded->version == kProtocolVersion);
  CHECK(decoded->epoch == 3);
  CHECK(decoded->lane == LaneId{7});
  CHECK(decoded->replay_memory == 64_MiB);
  CHECK(decoded->proof == hello.proof);
  for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode_hello(ByteSpan{bytes}.first(n)));
  Bytes with_capability = bytes;
  append_tlv(with_capability, 16, as_bytes("x"));
  CHECK(decode_hello(with_capability));
  with_capability.pop_back();
  CHECK_FALSE(decode_hello(with_capability));
  hello.epoch = 0;
  CHECK_FALSE(decode_hello(encode_hello(hello)));
  hello.epoch = 1;
  hello.lane = {};
  CHECK_FALSE(decode_hello(encode_hello(hello)));
}

// docs/protocol.md §4
TEST_CASE("The proof covers session, epoch and lane, in this order", "[wire]") {
  const Bytes bytes = proof_subject(SessionId{0x0102030405060708}, 0x090a0b0c, LaneId{0x0d0e0f10});
  REQUIRE(bytes.size() == 16);
  for (std::size_t i = 0; i < bytes.size(); ++i) CHECK(bytes[i] == static_cast<std::byte>(i + 1));
}

}  // namespace culvert
