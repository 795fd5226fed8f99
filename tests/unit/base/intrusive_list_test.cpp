#include "tunnel-core/base/intrusive_list.hpp"

#include <catch2/catch.hpp>
#include <memory>
#include <vector>

namespace culvert {
namespace {

struct Item {
  explicit Item(int n) : number(n) {}
  int number;
  ListHook hook;
};
using List = IntrusiveList<Item, &Item::hook>;

std::vector<int> numbers(const List& list) {
  std::vector<int> all;
  for (Item* item = list.front(); item != nullptr; item = list.next(*item)) all.push_back(item->number);
  return all;
}

}  // namespace

TEST_CASE("IntrusiveList: keeps its order, and an element is in it once", "[base]") {
  List list;
  Item a{1}, b{2}, c{3};
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);
  list.push_back(a);
  CHECK(numbers(list) == std::vector<int>{1, 2, 3});
  list.move_to_back(a);
  CHECK(numbers(list) == std::vector<int>{2, 3, 1});
  b.hook.unlink();
  b.hook.unlink();
  CHECK(numbers(list) == std::vector<int>{3, 1});
}

TEST_CASE("IntrusiveList: an element that is destroyed leaves it", "[base]") {
  List list;
  Item first{1};
  list.push_back(first);
  {
    Item second{2};
    list.push_back(second);
    CHECK(numbers(list) == std::vector<int>{1, 2});
  }
  CHECK(numbers(list) == std::vector<int>{1});
}

TEST_CASE("IntrusiveList: elements outlive it unlinked", "[base]") {
  Item item{1};
  {
    List list;
    list.push_back(item);
  }
  CHECK_FALSE(item.hook.linked());
}

TEST_CASE("IntrusiveList: move_to_back takes an element from another list of the same hook", "[base]") {
  List from;
  List to;
  Item item{1};
  from.push_back(item);
  to.move_to_back(item);
  CHECK(from.empty());
  CHECK(to.front() == &item);
}

}  // namespace culvert
