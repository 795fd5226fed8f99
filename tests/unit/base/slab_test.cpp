#include "tunnel-core/base/slab.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "tests/support/slab_region.hpp"

namespace culvert {

TEST_CASE("SlabPool: gives each slab once, then none, and takes them back", "[base]") {
  const SlabRegion region{4};
  SlabPool pool{region.span()};
  std::vector<SlabRef> held;
  std::set<std::byte*> places;
  for (int i = 0; i < 4; ++i) {
    held.push_back(pool.allocate());
    REQUIRE(held.back());
    places.insert(held.back().data());
  }
  CHECK(places.size() == 4);
  CHECK_FALSE(pool.allocate());
  CHECK(pool.in_use_bytes() == 4 * kSlabSize);
  std::byte* const last = held.back().data();
  held.pop_back();
  CHECK(pool.allocate().data() == last);
  held.clear();
  CHECK(pool.in_use() == 0);
}

TEST_CASE("SlabPool: a slab returns with its last reference", "[base]") {
  const SlabRegion region{1};
  SlabPool pool{region.span()};
  SlabRef first = pool.allocate();
  CHECK(first.unique());
  {
    const SlabRef second = first;
    CHECK_FALSE(first.unique());
    first = {};
    CHECK(second.unique());
    CHECK(pool.in_use() == 1);
  }
  CHECK(pool.in_use() == 0);
  CHECK_FALSE(first.unique());
}

TEST_CASE("SlabPool: trim reports each cold slab once, and trimmed slabs are usable", "[base]") {
  const SlabRegion region{8};
  SlabPool pool{region.span()};
  std::vector<SlabRef> held(8);
  for (SlabRef& slab : held) slab = pool.allocate();
  held.clear();
  std::set<std::byte*> released;
  const auto note = [&](std::byte* address) { CHECK(released.insert(address).second); };
  pool.trim(3, note);
  CHECK(released.size() == 5);
  pool.trim(3, note);
  CHECK(released.size() == 5);
  std::set<std::byte*> places;
  for (int i = 0; i < 8; ++i) {
    held.push_back(pool.allocate());
    places.insert(held.back().data());
  }
  CHECK(places.size() == 8);
  CHECK_FALSE(pool.allocate());
}

}  // namespace culvert
