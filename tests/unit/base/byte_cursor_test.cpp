#include "tunnel-core/base/byte_cursor.hpp"

#include <catch2/catch.hpp>

namespace culvert {

TEST_CASE("Writer and Reader: numbers are big-endian and come back", "[base]") {
  Bytes bytes(15);
  Writer out{bytes};
  out.u8(0x01);
  out.u16(0x0203);
  out.u32(0x04050607);
  out.u64(0x08090a0b0c0d0e0f);
  REQUIRE_FALSE(out.failed());
  for (std::size_t i = 0; i < bytes.size(); ++i) CHECK(bytes[i] == static_cast<std::byte>(i + 1));
  Reader in{bytes};
  CHECK(in.u8() == 0x01);
  CHECK(in.u16() == 0x0203);
  CHECK(in.u32() == 0x04050607);
  CHECK(in.u64() == 0x08090a0b0c0d0e0f);
  CHECK(in.at_end());
  CHECK_FALSE(in.failed());
}

TEST_CASE("Reader: reading beyond the end fails for good and gives zeros", "[base]") {
  const Bytes bytes(3, std::byte{0xff});
  Reader in{bytes};
  CHECK(in.u32() == 0);
  CHECK(in.failed());
  CHECK(in.u8() == 0);
  CHECK(in.rest().empty());
}

TEST_CASE("Writer: writing beyond the end fails for good and writes nothing", "[base]") {
  Bytes bytes(3);
  Writer out{bytes};
  out.u32(0xffffffff);
  CHECK(out.failed());
  out.u8(1);
  CHECK(out.written() == 0);
  CHECK(bytes == Bytes(3));
}

}  // namespace culvert
