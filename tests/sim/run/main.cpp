// Runs a range of seeds on all cores. Progress goes to stderr, the sum to stdout; interrupted, it says how to
// go on; when it crashes, which seed did it (crash.hpp). Exit: 0 all promises held, 1 some did not or it was
// interrupted, 2 wrong usage.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/sim/run/crash.hpp"
#include "tests/sim/world/worlds.hpp"

namespace culvert::sim {
namespace {

constexpr std::size_t kMostFailures = 10;
constexpr auto kProgressEvery = std::chrono::seconds{10};

std::atomic<bool> g_stop = false;  // Signals reach nothing but globals.

struct Options {
  std::uint64_t from = 1;
  std::uint64_t count = 1'000'000;
  std::uint64_t jobs = std::max(1U, std::thread::hardware_concurrency());
};

class Range {
 public:
  explicit Range(const Options& options) : options_(options), next_(options.from), at_(options.jobs) {
    for (auto& at : at_) at = options.from;
  }

  bool run() {
    std::vector<std::thread> workers;
    for (std::size_t i = 0; i < options_.jobs; ++i) workers.emplace_back([this, i] { work(i); });
    auto shown = std::chrono::steady_clock::now();
    while (!is_over()) {
      std::this_thread::sleep_for(std::chrono::milliseconds{100});
      if (std::chrono::steady_clock::now() - shown < kProgressEvery) continue;
      shown += kProgressEvery;
      show_progress();
    }
    for (std::thread& worker : workers) worker.join();
    return report();
  }

 private:
  void work(std::size_t worker) {
    SignalStack signal_stack;
    while (!g_stop && failed_ < kMostFailures) {
      const std::uint64_t seed = next_++;
      if (seed >= options_.from + options_.count) break;
      note_seed(seed);
      at_[worker] = seed;
      note(seed, run_seed(seed));
    }
    at_[worker] = ~std::uint64_t{};
    ++idle_;
  }

  void note(std::uint64_t seed, const WorldReport& world) {
    const std::scoped_lock lock{mutex_};
    ++done_;
    sum_.streams += world.streams;
    sum_.carried_bytes += world.carried_bytes;
    sum_.cuts += world.cuts;
    if (!world.broken) return;
    ++failed_;
    std::fprintf(stderr, "seed %llu: %s\n  replay with ./dev sim %llu\n",
                 static_cast<unsigned long long>(seed), world.broken->c_str(),
                 static_cast<unsigned long long>(seed));
  }

  bool is_over() const { return idle_ == options_.jobs; }

  /// Every seed below has been run.
  std::uint64_t complete_below() const {
    std::uint64_t least = std::min<std::uint64_t>(next_, options_.from + options_.count);
    for (const auto& at : at_) least = std::min<std::uint64_t>(least, at);
    return least;
  }

  void show_progress() {
    const std::scoped_lock lock{mutex_};
    std::fprintf(stderr, "%llu of %llu seeds, all below %llu done, %zu failed\n",
                 static_cast<unsigned long long>(done_), static_cast<unsigned long long>(options_.count),
                 static_cast<unsigned long long>(complete_below()), failed_.load());
  }

  bool report() {
    const std::uint64_t goes_on = complete_below();
    const std::uint64_t left = options_.from + options_.count - goes_on;
    std::printf("%llu seeds from %llu: %zu failed; %llu streams, %llu GiB, %llu cut lanes\n",
                static_cast<unsigned long long>(done_), static_cast<unsigned long long>(options_.from),
                failed_.load(), static_cast<unsigned long long>(sum_.streams),
                static_cast<unsigned long long>(sum_.carried_bytes >> 30),
                static_cast<unsigned long long>(sum_.cuts));
    if (left > 0) {
      std::fprintf(stderr, "not all were run; go on with ./dev sim --long %llu %llu\n",
                   static_cast<unsigned long long>(left), static_cast<unsigned long long>(goes_on));
    }
    return failed_ == 0 && left == 0;
  }

  const Options options_;
  std::atomic<std::uint64_t> next_;
  std::vector<std::atomic<std::uint64_t>> at_;  ///< What each worker is at; the largest number: nothing.
  std::atomic<std::size_t> idle_ = 0;
  std::atomic<std::size_t> failed_ = 0;
  std::mutex mutex_;
  std::uint64_t done_ = 0;
  WorldReport sum_;
};

bool parse(int count, char** arguments, Options& options) {
  for (int i = 1; i < count; i += 2) {
    const std::string name = arguments[i];
    std::uint64_t* const value = name == "--from"    ? &options.from
                                 : name == "--count" ? &options.count
                                 : name == "--jobs"  ? &options.jobs
                                                     : nullptr;
    if (value == nullptr || i + 1 == count) return false;
    const char* const text = arguments[i + 1];
    const char* const end = text + std::strlen(text);
    const auto parsed = std::from_chars(text, end, *value);
    if (parsed.ec != std::errc{} || parsed.ptr != end || *value == 0) return false;
  }
  return true;
}

}  // namespace
}  // namespace culvert::sim

int main(int count, char** arguments) {
  using namespace culvert::sim;
  Options options;
  if (!parse(count, arguments, options)) {
    std::fputs("usage: sim_run [--from SEED] [--count N] [--jobs N], all at least 1\n", stderr);
    return 2;
  }
  const auto stop = [](int) { g_stop = true; };
  std::signal(SIGINT, stop);
  std::signal(SIGTERM, stop);
  name_seeds_of_crashes();
  return Range{options}.run() ? 0 : 1;
}
