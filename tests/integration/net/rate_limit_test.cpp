#include "tunnel-core/net/rate_limit.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <numeric>
#include <thread>
#include <vector>

#include "tunnel-core/net/steady_clock.hpp"

namespace culvert {
namespace {

constexpr Instant kStart{Duration{1'000'000'000'000}};

double share_of(std::uint64_t bytes, BitRate rate, Duration time) {
  return static_cast<double>(bytes) * 8 / static_cast<double>(rate.value) /
         std::chrono::duration<double>(time).count();
}

TEST_CASE("TokenBucket: over 10 s it gives its rate within 2 %, idle before or not, at any rate and step",
          "[net]") {
  for (const std::uint64_t rate :
       {64'000ULL, 1'000'000ULL, 33'333'333ULL, 1'000'000'000ULL, 100'000'000'000ULL}) {
    for (const Duration step : {Duration{100us}, Duration{1ms}, Duration{7ms}, Duration{45ms}}) {
      for (const bool idle_before : {false, true}) {
        TokenBucket bucket;
        bucket.set_rate(BitRate{rate});
        Instant now = kStart;
        if (!idle_before) bucket.take(UINT64_MAX, 1, now);
        std::uint64_t given = 0;
        for (; now < kStart + 10s; now += step) given += bucket.take(UINT64_MAX, 1, now);
        CAPTURE(rate, step.count(), idle_before);
        REQUIRE(share_of(given, bucket.rate(), 10s) == Approx(1.0).margin(0.02));
      }
    }
  }
}

TEST_CASE("TokenBucket: a new rate counts from the moment it is set", "[net]") {
  TokenBucket bucket;
  bucket.set_rate(BitRate{10'000'000});
  Instant now = kStart;
  bucket.take(UINT64_MAX, 1, now);
  const auto run = [&](Duration time) {
    std::uint64_t given = 0;
    for (const Instant end = now + time; now < end; now += 1ms) given += bucket.take(UINT64_MAX, 1, now);
    return given;
  };
  REQUIRE(share_of(run(1s), BitRate{10'000'000}, 1s) == Approx(1.0).margin(0.02));
  bucket.set_rate(BitRate{80'000'000});
  REQUIRE(share_of(run(1s), BitRate{80'000'000}, 1s) == Approx(1.0).margin(0.02));
  bucket.set_rate(BitRate{1'000'000});
  REQUIRE(share_of(run(1s), BitRate{1'000'000}, 1s) == Approx(1.0).margin(0.03));
  bucket.set_rate(BitRate{0});
  REQUIRE(bucket.take(1'000'000'000, 1, now) == 1'000'000'000);
}

TEST_CASE("TokenBucket: what is reserved comes in order, what is given back can be taken again", "[net]") {
  TokenBucket bucket;
  bucket.set_rate(BitRate{8'000'000});  // 1 byte in 1 us.
  bucket.take(UINT64_MAX, 1, kStart);
  const auto first = bucket.reserve(1000, kStart, TokenBucket::kDepth);
  const auto second = bucket.reserve(2000, kStart, TokenBucket::kDepth);
  REQUIRE(first.due - kStart == 1ms);
  REQUIRE(second.due - kStart == 3ms);
  REQUIRE(bucket.take(10, 1, kStart + 2ms) == 0);
  // A thread that was 100 ms late catches up.
  const auto late = bucket.reserve(1000, kStart + 103ms, TokenBucket::kCatchUp);
  REQUIRE(late.due - kStart == 4ms);
  bucket.cancel(late);
  bucket.cancel(second);
  REQUIRE(bucket.take(5000, 1, kStart + 2ms) == 1000);
  bucket.give_back(400);
  REQUIRE(bucket.take(5000, 401, kStart + 2ms) == 0);
  REQUIRE(bucket.take(5000, 400, kStart + 2ms) == 400);
}

/// A stream that always has more to move, in pieces of at most `piece`.
class Greedy final : public Pacer {
 public:
  Greedy(const StreamLimits& limits, std::uint64_t piece) : limits_(limits), piece_(piece) {}
  ~Greedy() override { leave(); }

  void run() {
    while (const std::uint64_t allowed = acquire(limits_.of[0], piece_)) {
      moved += allowed;
      spend(allowed);
    }
  }

  std::uint64_t moved = 0;

 private:
  void handle_turn() override { run(); }
  const StreamLimits& limits_;
  const std::uint64_t piece_;
};

/// One whose socket is empty for a moment in the middle of every third turn.
class Choppy final : public Pacer {
 public:
  explicit Choppy(boost::asio::io_context& io, const StreamLimits& limits) : io_(io), limits_(limits) {}

  void run() {
    while (const std::uint64_t allowed = acquire(limits_.of[0], 1'000'000)) {
      const bool cut_short = ++turns_ % 3 == 0;
      const std::uint64_t used = cut_short ? allowed / 3 : allowed;
      moved += used;
      spend(used);
      if (!cut_short) continue;
      release();
      return boost::asio::post(io_, [this] { run(); });
    }
  }

  std::uint64_t moved = 0;

 private:
  void handle_turn() override { run(); }
  boost::asio::io_context& io_;
  const StreamLimits& limits_;
  std::uint64_t turns_ = 0;
};

/// One thread's loop with some streams.
struct Loop {
  boost::asio::io_context io{1};
  SteadyClock clock;

  std::unique_ptr<RateLimit> limit(const std::shared_ptr<TokenBucket>& bucket) {
    return std::make_unique<RateLimit>(io, clock, bucket);
  }
};

std::shared_ptr<TokenBucket> bucket_of(std::uint64_t rate) {
  auto bucket = std::make_shared<TokenBucket>();
  bucket->set_rate(BitRate{rate});
  return bucket;
}

using Streams = std::vector<std::unique_ptr<Greedy>>;
using Counts = std::vector<std::uint64_t>;

Counts moved(const Streams& streams) {
  Counts counts;
  for (const auto& stream : streams) counts.push_back(stream->moved);
  return counts;
}

Counts since(const Counts& before, const Streams& streams) {
  Counts counts = moved(streams);
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] -= before[i];
  return counts;
}

std::uint64_t sum(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

/// The slowest stream's bytes by the fastest's.
double evenness(const Counts& counts) {
  const auto [least, most] = std::ranges::minmax(counts);
  return static_cast<double>(least) / static_cast<double>(most);
}

TEST_CASE("RateLimit: streams of one limit have even shares, whatever the size of their pieces", "[net]") {
  Loop loop;
  const auto limit = loop.limit(bucket_of(80'000'000));
  StreamLimits limits;
  limits.set(RelayDirection::Read, 1, limit.get());
  limits.refresh();
  REQUIRE(limits.any[0]);
  REQUIRE_FALSE(limits.any[1]);
  Streams streams;
  for (int i = 0; i < 7; ++i) streams.push_back(std::make_unique<Greedy>(limits, i < 3 ? 60'000 : 1'000'000));
  const auto began = std::chrono::steady_clock::now();
  for (const auto& stream : streams) stream->run();
  REQUIRE(limit->waiting() == 7);
  REQUIRE(limit->limiting());
  loop.io.run_for(std::chrono::milliseconds{1500});
  const Duration time = std::chrono::steady_clock::now() - began;
  // The bucket was full: 50 ms more. A machine that stood still for longer than that loses some.
  CHECK(share_of(sum(moved(streams)), BitRate{80'000'000}, time + TokenBucket::kDepth) < 1.02);
  CHECK(share_of(sum(moved(streams)), BitRate{80'000'000}, time) > 0.9);
  // The first of them had the full bucket.
  CHECK(evenness(moved(streams)) > 0.6);
}

TEST_CASE("RateLimit: several limits at once give what the tightest allows, and no stream starves", "[net]") {
  Loop loop;
  const auto wide = loop.limit(bucket_of(40'000'000));
  const auto narrow = loop.limit(bucket_of(8'000'000));
  StreamLimits both;
  both.set(RelayDirection::Read, 0, narrow.get());
  both.set(RelayDirection::Read, 2, wide.get());
  StreamLimits only_wide;
  only_wide.set(RelayDirection::Read, 2, wide.get());
  Streams narrowed;
  Streams others;
  for (int i = 0; i < 4; ++i) narrowed.push_back(std::make_unique<Greedy>(both, 200'000));
  for (int i = 0; i < 4; ++i) others.push_back(std::make_unique<Greedy>(only_wide, 200'000));
  for (const auto& stream : narrowed) stream->run();
  for (const auto& stream : others) stream->run();
  loop.io.run_for(std::chrono::milliseconds{500});  // Full buckets are behind us.
  const auto before = moved(narrowed);
  const auto before_others = moved(others);
  const auto began = std::chrono::steady_clock::now();
  loop.io.run_for(std::chrono::milliseconds{1500});
  const Duration time = std::chrono::steady_clock::now() - began;
  const auto gained = since(before, narrowed);
  const auto gained_others = since(before_others, others);
  CHECK(share_of(sum(gained), narrow->rate(), time) < 1.06);
  CHECK(share_of(sum(gained), narrow->rate(), time) > 0.85);
  CHECK(share_of(sum(gained) + sum(gained_others), wide->rate(), time) < 1.06);
  CHECK(share_of(sum(gained) + sum(gained_others), wide->rate(), time) > 0.85);
  CHECK(evenness(gained) > 0.8);
  CHECK(evenness(gained_others) > 0.8);
}

TEST_CASE("RateLimit: a stream whose reads fall short now and then has its even share of bytes", "[net]") {
  Loop loop;
  const auto limit = loop.limit(bucket_of(80'000'000));
  StreamLimits limits;
  limits.set(RelayDirection::Read, 0, limit.get());
  Greedy smooth{limits, 1'000'000};
  Choppy first{loop.io, limits};
  Choppy second{loop.io, limits};
  smooth.run();
  first.run();
  second.run();
  loop.io.run_for(std::chrono::milliseconds{200});
  const Counts before{smooth.moved, first.moved, second.moved};
  loop.io.restart();
  loop.io.run_for(std::chrono::milliseconds{1500});
  const Counts gained{smooth.moved - before[0], first.moved - before[1], second.moved - before[2]};
  CAPTURE(gained[0], gained[1], gained[2]);
  CHECK(evenness(gained) > 0.97);
}

TEST_CASE("RateLimit: who comes back first after all were held up elsewhere gets no more than the others",
          "[net]") {
  Loop loop;
  const auto limit = loop.limit(bucket_of(80'000'000));
  StreamLimits limits;
  limits.set(RelayDirection::Read, 0, limit.get());
  Streams streams;
  for (int i = 0; i < 4; ++i) streams.push_back(std::make_unique<Greedy>(limits, 1'000'000));
  for (const auto& stream : streams) stream->run();
  loop.io.run_for(std::chrono::milliseconds{100});
  const auto before = moved(streams);
  for (int round = 0; round < 20; ++round) {
    for (const auto& stream : streams) {
      stream->leave();
      stream->release();
    }
    loop.io.restart();
    loop.io.run_for(std::chrono::milliseconds{40});  // The bucket fills while nobody asks.
    for (const auto& stream : streams) stream->run();
    loop.io.restart();
    loop.io.run_for(std::chrono::milliseconds{20});
  }
  CHECK(evenness(since(before, streams)) > 0.9);
}

TEST_CASE("RateLimit: threads share one bucket by their numbers of streams", "[net]") {
  const auto bucket = bucket_of(80'000'000);
  struct Side {
    Loop loop;
    std::unique_ptr<RateLimit> limit;
    StreamLimits limits;
    Streams streams;
    std::uint64_t all() const { return sum(moved(streams)); }
  };
  Side few;
  Side many;
  for (Side* const side : {&few, &many}) {
    side->limit = side->loop.limit(bucket);
    side->limits.set(RelayDirection::Read, 0, side->limit.get());
  }
  few.streams.push_back(std::make_unique<Greedy>(few.limits, 200'000));
  for (int i = 0; i < 4; ++i) many.streams.push_back(std::make_unique<Greedy>(many.limits, 200'000));
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (Side* const side : {&few, &many}) {
    threads.emplace_back([side] {
      for (const auto& stream : side->streams) stream->run();
      side->loop.io.run_for(std::chrono::seconds{2});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Duration time = std::chrono::steady_clock::now() - began;
  CHECK(share_of(few.all() + many.all(), bucket->rate(), time + TokenBucket::kDepth) < 1.02);
  CHECK(share_of(few.all() + many.all(), bucket->rate(), time) > 0.9);
  CHECK(static_cast<double>(many.all()) / static_cast<double>(few.all()) == Approx(4).margin(1.5));
}

TEST_CASE("RateLimit: who waits at a low rate goes on at once when it is raised or lifted", "[net]") {
  Loop loop;
  const auto limit = loop.limit(bucket_of(64'000));
  StreamLimits limits;
  limits.set(RelayDirection::Read, 0, limit.get());
  Streams streams;
  for (int i = 0; i < 50; ++i) streams.push_back(std::make_unique<Greedy>(limits, 100'000));
  for (const auto& stream : streams) stream->run();
  loop.io.run_for(std::chrono::milliseconds{50});
  limit->set_rate(BitRate{800'000'000});
  loop.io.run_for(std::chrono::milliseconds{300});
  for (const auto& stream : streams) REQUIRE(stream->moved > 100'000);

  // A thread that is not told sees the change in its bucket.
  const auto bucket = bucket_of(64'000);
  const auto untold = loop.limit(bucket);
  StreamLimits others;
  others.set(RelayDirection::Read, 0, untold.get());
  Greedy first{others, 10'000};
  Greedy second{others, 10'000};
  first.run();
  second.run();
  const std::uint64_t before = first.moved;
  bucket->set_rate(BitRate{80'000'000});
  loop.io.restart();
  loop.io.run_for(std::chrono::milliseconds{600});
  REQUIRE(first.moved > before + 100'000);
  REQUIRE(second.moved > 100'000);
}

TEST_CASE("RateLimit: a stream that ends while it waits leaves no trace", "[net]") {
  Loop loop;
  auto limit = loop.limit(bucket_of(1'000'000));
  StreamLimits limits;
  limits.set(RelayDirection::Read, 0, limit.get());
  auto first = std::make_unique<Greedy>(limits, 100'000);
  auto second = std::make_unique<Greedy>(limits, 100'000);
  first->run();
  second->run();
  REQUIRE(limit->waiting() == 2);
  first.reset();
  REQUIRE(limit->waiting() == 1);
  const std::uint64_t before = second->moved;
  loop.io.run_for(std::chrono::milliseconds{300});
  REQUIRE(second->moved > before);
  limit.reset();
  REQUIRE_FALSE(second->waiting());
  loop.io.restart();
  loop.io.run_for(std::chrono::milliseconds{300});
}

}  // namespace
}  // namespace culvert
