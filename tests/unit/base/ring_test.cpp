#include "tunnel-core/base/ring.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <memory>

namespace culvert {

TEST_CASE("Ring: owns no storage until used and after clear", "[base]") {
  Ring<int> ring;
  CHECK(ring.storage_bytes() == 0);
  ring.push_back(1);
  CHECK(ring.storage_bytes() > 0);
  ring.clear();
  CHECK(ring.storage_bytes() == 0);
  CHECK(ring.empty());
}

TEST_CASE("Ring: behaves as a deque does, wherever its head is", "[base]") {
  Ring<std::unique_ptr<int>> ring;
  std::deque<int> model;
  unsigned state = 7;
  for (int i = 0; i < 20000; ++i) {
    state = state * 1664525 + 1013904223;
    const unsigned choice = (state >> 16) % 5;
    if (choice <= 2 && model.size() < 100) {
      ring.push_back(std::make_unique<int>(i));
      model.push_back(i);
    } else if (choice == 3 && !model.empty()) {
      ring.pop_front();
      model.pop_front();
    } else if (choice == 4 && !model.empty()) {
      ring.pop_back();
      model.pop_back();
    }
    REQUIRE(ring.size() == model.size());
    if (model.empty()) continue;
    REQUIRE(*ring.front() == model.front());
    REQUIRE(*ring.back() == model.back());
    REQUIRE(*ring[model.size() / 2] == model[model.size() / 2]);
  }
}

TEST_CASE("Ring: moving hands over the storage", "[base]") {
  Ring<int> ring;
  for (int i = 0; i < 20; ++i) ring.push_back(i);
  Ring<int> other = std::move(ring);
  CHECK(other.size() == 20);
  CHECK(other[19] == 19);
  ring = {};
  CHECK(ring.empty());
  ring.push_back(5);
  CHECK(ring.front() == 5);
}

}  // namespace culvert
