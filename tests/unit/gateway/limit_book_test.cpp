// Weekly windows at the gateway: what the streams of one data thread keep to as the week goes on.
#include "cloud-gateway/data/limit_book.hpp"

#include <catch2/catch.hpp>
#include <cstdio>

#include "tests/unit/gateway/store_fixture.hpp"
#include "tunnel-core/net/slab_arena.hpp"

namespace culvert {
namespace {

const certs::SiteIdentity kTokyo{"acme", "tokyo"};
const LimitScope kWholeOrg{"acme", "", ""};
const LimitScope kToDb{"acme", "", "db"};
// Where a stream has the limits of these scopes.
constexpr std::size_t kTargetPlace = 1;
constexpr std::size_t kOrgPlace = 3;
constexpr auto kUp = static_cast<std::size_t>(RelayDirection::Write);
constexpr auto kDown = static_cast<std::size_t>(RelayDirection::Read);
constexpr std::size_t kSlabSpace = 16 * kSlabSize;

/// Every day from the minute of `from` to that of `to`, on the host's own wall clock.
WeeklyWindow window_between(WallTime from, WallTime to) {
  const WeekMinute begin = local_week_minute(from);
  const WeekMinute end = local_week_minute(to);
  char text[64];
  std::snprintf(text, sizeof text, "daily %02d:%02d-%02d:%02d", begin.minute / 60, begin.minute % 60,
                end.minute / 60, end.minute % 60);
  return must(WeeklyWindow::parse(text));
}

/// 8 Mbit/s up, and 1 Mbit/s as long as the window is open.
BandwidthLimit slower_in(const WeeklyWindow& window) {
  BandwidthLimit limit{{BitRate{8'000'000}, {}}, {}};
  must(limit.set_window(window, {BitRate{1'000'000}, std::nullopt}));
  return limit;
}

/// A store with two targets, and the limits of a data thread whose clock on the wall is `now`.
struct BookFixture : StoreFixture {
  BookFixture() {
    must(store.add_org("acme", admin()));
    must(store.add_target({"acme", "db", "db.internal", 5432, false}, admin()));
    must(store.add_target({"acme", "web", "web.internal", 443, false}, admin()));
    must(hub.rebuild(store));
  }

  void store_limit(const LimitScope& scope, const BandwidthLimit& limit) {
    must(store.change_limit(
        scope,
        [&](BandwidthLimit& present) -> Result<void> {
          present = limit;
          return {};
        },
        admin()));
    must(hub.rebuild(store));
  }
  /// As the provider's command does it.
  void set(const LimitScope& scope, const BandwidthLimit& limit) {
    store_limit(scope, limit);
    book.apply_policy();
  }

  /// The thread runs until it has looked at the clock by itself. False: not within the second after which a
  /// window has to be in force.
  bool looks_at_the_clock() { return thread->io().run_one_for(1s) == 1; }

  WallTime now = kNoon;
  SlabArena arena = must(SlabArena::create(kSlabSpace));
  std::unique_ptr<DataThread> thread = must(DataThread::create(arena, kSlabSpace));
  PolicyHub hub;
  SharedBuckets buckets;
  LimitBook book{*thread, hub, buckets, [this] { return now; }};
};

}  // namespace

TEST_CASE("LimitBook: a weekly window is in force within a second for streams that run, and ends as soon",
          "[policy]") {
  constexpr std::chrono::minutes kMinute{1};
  BookFixture fixture;
  fixture.set(kWholeOrg, slower_in(window_between(kNoon + kMinute, kNoon + 2 * kMinute)));
  const StreamLimits& streams = fixture.book.of_streams(kTokyo, "db");
  const RateLimit& up = *streams.of[kUp][kOrgPlace];
  CHECK(up.rate() == BitRate{8'000'000});

  fixture.now += kMinute;
  REQUIRE(fixture.looks_at_the_clock());
  CHECK(up.rate() == BitRate{1'000'000});
  CHECK_FALSE(streams.of[kDown][kOrgPlace]->limited());

  fixture.now += kMinute;
  REQUIRE(fixture.looks_at_the_clock());
  CHECK(up.rate() == BitRate{8'000'000});

  // The host's clock is set back into the window.
  fixture.now -= std::chrono::seconds{1};
  REQUIRE(fixture.looks_at_the_clock());
  CHECK(up.rate() == BitRate{1'000'000});
}

TEST_CASE("LimitBook: windows that were set before the gateway started are kept to from the start",
          "[policy]") {
  constexpr std::chrono::minutes kMinute{1};
  BookFixture fixture;
  fixture.store_limit(kWholeOrg, slower_in(window_between(kNoon + kMinute, kNoon + 2 * kMinute)));
  LimitBook book{*fixture.thread, fixture.hub, fixture.buckets, [&] { return fixture.now; }};
  const StreamLimits& streams = book.of_streams(kTokyo, "db");

  fixture.now += kMinute;
  CHECK(fixture.looks_at_the_clock());
  CHECK(streams.of[kUp][kOrgPlace]->rate() == BitRate{1'000'000});
}

TEST_CASE("LimitBook: what is unlimited outside of a window is limited in it, and only what it is for",
          "[policy]") {
  constexpr std::chrono::hours kHour{1};
  BookFixture fixture;
  BandwidthLimit limit;
  must(
      limit.set_window(window_between(kNoon + kHour, kNoon + 2 * kHour), {std::nullopt, BitRate{2'000'000}}));
  const StreamLimits& before = fixture.book.of_streams(kTokyo, "db");
  const StreamLimits& others = fixture.book.of_streams(kTokyo, "web");
  fixture.set(kToDb, limit);
  CHECK_FALSE(before.any[kDown]);

  fixture.now += kHour;
  REQUIRE(fixture.looks_at_the_clock());
  CHECK(before.any[kDown]);
  CHECK_FALSE(before.any[kUp]);
  CHECK(before.of[kDown][kTargetPlace]->rate() == BitRate{2'000'000});
  CHECK_FALSE(others.any[kDown]);
  // Another site's first stream to that target.
  CHECK(fixture.book.of_streams({"acme", "oslo"}, "db").any[kDown]);

  fixture.now += kHour;
  REQUIRE(fixture.looks_at_the_clock());
  CHECK_FALSE(before.any[kDown]);
}

TEST_CASE("LimitBook: the clock is looked at as long as some limit has a window, and no longer", "[policy]") {
  BookFixture fixture;
  const WeeklyWindow window = window_between(kNoon + std::chrono::hours{1}, kNoon + std::chrono::hours{2});
  BandwidthLimit limit = slower_in(window);
  fixture.set(kWholeOrg, limit);
  CHECK(fixture.looks_at_the_clock());
  CHECK(fixture.looks_at_the_clock());

  must(limit.remove_window(window));
  fixture.set(kWholeOrg, limit);
  fixture.looks_at_the_clock();  // It was on its way.
  CHECK_FALSE(fixture.looks_at_the_clock());
}

}  // namespace culvert
