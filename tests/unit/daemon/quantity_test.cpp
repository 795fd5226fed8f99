#include <catch2/catch.hpp>

#include "tunnel-core/daemon/quantity.hpp"

namespace culvert {
namespace {

TEST_CASE("Quantity: sizes are whole numbers with a binary unit", "[daemon]") {
  REQUIRE(parse_bytes("64 MiB") == 64_MiB);
  REQUIRE(parse_bytes("64MiB") == 64_MiB);
  REQUIRE(parse_bytes("0 B") == 0_B);
  REQUIRE(parse_bytes("2 TiB") == 2048_GiB);
  for (const char* bad : {"", "64", "MiB", "64 MB", "64 mib", "-1 KiB", "1.5 GiB", "1 KiB ", " 1 KiB",
                          "16777216 TiB", "99999999999999999999 B", "1 KiB\n"}) {
    CAPTURE(bad);
    REQUIRE_FALSE(parse_bytes(bad));
  }
}

TEST_CASE("Quantity: times are whole numbers with a unit", "[daemon]") {
  REQUIRE(parse_duration("500 ms") == 500ms);
  REQUIRE(parse_duration("30 s") == 30s);
  REQUIRE(parse_duration("10 min") == 10min);
  REQUIRE(parse_duration("1 h") == 1h);
  REQUIRE(parse_duration("90d") == 90 * 24h);
  for (const char* bad : {"", "30", "s", "30 sec", "-1 s", "1.5 s", "200000 d"}) {
    CAPTURE(bad);
    REQUIRE_FALSE(parse_duration(bad));
  }
}

TEST_CASE("Quantity: what is formatted is read back", "[daemon]") {
  REQUIRE(format_bytes(64_MiB) == "64 MiB");
  REQUIRE(format_bytes(1025_B) == "1025 B");
  REQUIRE(format_bytes(0_B) == "0 B");
  REQUIRE(format_duration(90s) == "90 s");
  REQUIRE(format_duration(10min) == "10 min");
  REQUIRE(format_duration(0s) == "0 ms");
  for (const ByteCount size : {1_B, 1023_B, 3_KiB, 5_GiB}) REQUIRE(parse_bytes(format_bytes(size)) == size);
}

}  // namespace
}  // namespace culvert
