// Verified streams for bench cuts: as many sources as asked for, and a sink for the streams of all sources.
//
//   bench-verify sink   --listen PORT --late-us N --log FILE
//   bench-verify source --to PORT --streams N --agent N --seed N --chunk BYTES --tick-us N --late-us N --log
//   FILE
//
// Both run until the end of stdin; sources then end their streams in order and wait a minute for it. A source
// prints 'ready' when every stream has carried a chunk both ways. The result is one JSON object on stdout.
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/verified.hpp"

namespace culvert::bench {
namespace {

constexpr const char* kUsage =
    "usage: bench-verify sink --listen PORT --late-us N --log FILE\n"
    "       bench-verify source --to PORT --streams N --agent N --seed N --chunk BYTES --tick-us N --late-us "
    "N --log FILE";

/// How often sockets are looked at for chunks that are due; delays are exact to this.
constexpr int kStepMs = 2;
constexpr std::int64_t kFinishWithinUs = 60'000'000;
constexpr std::uint64_t kListener = UINT64_MAX;
constexpr std::uint64_t kStdin = UINT64_MAX - 1;

struct Totals {
  std::uint64_t streams = 0, in_order = 0, resets = 0, early_ends = 0, unfinished = 0;
  std::uint64_t sent = 0, received = 0, wrong = 0, lost = 0;

  void add(const VerifiedStream& stream) {
    ++streams;
    sent += stream.sent();
    received += stream.received();
    wrong += stream.wrong_bytes();
    lost += stream.lost_bytes();
    switch (stream.ending()) {
      case Ending::Open:
        ++unfinished;
        break;
      case Ending::InOrder:
        ++in_order;
        break;
      case Ending::Reset:
        ++resets;
        break;
      case Ending::Early:
        ++early_ends;
        break;
    }
  }

  void print() const {
    const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf(
        "{\"streams\": %llu, \"in_order\": %llu, \"resets\": %llu, \"early_ends\": %llu, \"unfinished\": "
        "%llu, "
        "\"sent_bytes\": %llu, \"received_bytes\": %llu, \"wrong_bytes\": %llu, \"lost_bytes\": %llu}\n",
        n(streams), n(in_order), n(resets), n(early_ends), n(unfinished), n(sent), n(received), n(wrong),
        n(lost));
  }
};

using Options = std::map<std::string, std::string>;

const std::string& text(const Options& options, const std::string& name) {
  const auto at = options.find("--" + name);
  if (at == options.end()) fail(2, kUsage);
  return at->second;
}

std::uint64_t number(const Options& options, const std::string& name) {
  const std::string& value = text(options, name);
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (error != std::errc{} || *end != '\0') fail(2, "not a number: " + value);
  return n;
}

class Verifier {
 public:
  explicit Verifier(const Options& options)
      : late_us_{static_cast<std::int64_t>(number(options, "late-us"))},
        log_{std::fopen(text(options, "log").c_str(), "w")} {
    if (log_ == nullptr) fail(1, "cannot write " + text(options, "log") + ": " + std::strerror(errno));
    watch(STDIN_FILENO, kStdin);
  }
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;
  ~Verifier() { std::fclose(log_); }

  void listen(const Endpoint& endpoint) {
    listener_ = listen_on(endpoint);
    std::printf("ready %u\n", port_of(listener_.value()));
    std::fflush(stdout);
    watch(listener_.value(), kListener);
  }

  void connect(const Endpoint& endpoint, const Greeting& greeting) {
    UniqueFd fd = connect_to(endpoint);
    if (!fd || !send_all(fd.value(), std::as_bytes(std::span{&greeting, 1}))) {
      fail(1, std::string{"cannot open a stream: "} + std::strerror(errno));
    }
    add(std::move(fd), greeting, Side::Source);
  }

  /// Until every stream has a chunk of the other end; false at the end of stdin.
  bool carry_first() {
    const auto all = [this] {
      for (const auto& stream : streams_) {
        if (stream->received() == 0) return false;
      }
      return true;
    };
    while (!over_ && !all()) step();
    return !over_;
  }

  void run() {
    while (!over_) step();
  }

  void finish() {
    for (auto& stream : streams_) stream->finish();
    const std::int64_t deadline = monotonic_us() + kFinishWithinUs;
    const auto open = [this] {
      for (const auto& stream : streams_) {
        if (stream->ending() == Ending::Open) return true;
      }
      return false;
    };
    while (open() && monotonic_us() < deadline) step();
  }

  void print() const {
    Totals totals;
    for (const auto& stream : streams_) totals.add(*stream);
    totals.print();
  }

 private:
  void watch(int fd, std::uint64_t what) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = what}};
    ::epoll_ctl(poll_.value(), EPOLL_CTL_ADD, fd, &event);
  }

  void add(UniqueFd fd, const Greeting& greeting, Side side) {
    watch(fd.value(), streams_.size());
    streams_.push_back(std::make_unique<VerifiedStream>(std::move(fd), greeting, side, late_us_, log_));
  }

  /// The greeting follows the connection at once: the source sends it before anything else.
  void take_connection() {
    UniqueFd fd = accept_one(listener_.value());
    Greeting greeting{};
    if (!receive_all(fd.value(), std::as_writable_bytes(std::span{&greeting, 1}))) return;
    if (greeting.chunk_bytes < 32 || greeting.tick_us == 0) return;
    add(std::move(fd), greeting, Side::Sink);
  }

  void step() {
    std::array<epoll_event, 256> events;
    const int n = ::epoll_wait(poll_.value(), events.data(), static_cast<int>(events.size()), kStepMs);
    for (int i = 0; i < n; ++i) {
      const std::uint64_t what = events[static_cast<std::size_t>(i)].data.u64;
      if (what == kStdin) {
        over_ = true;
        ::epoll_ctl(poll_.value(), EPOLL_CTL_DEL, STDIN_FILENO, nullptr);
      } else if (what == kListener) {
        take_connection();
      } else {
        streams_[what]->receive();
      }
    }
    const std::int64_t now = monotonic_us();
    if (now < next_send_us_) return;
    next_send_us_ = now + kStepMs * 1000 / 2;
    for (auto& stream : streams_) stream->send_due(now);
  }

  std::int64_t late_us_;
  std::FILE* log_;
  UniqueFd poll_{::epoll_create1(EPOLL_CLOEXEC)};
  UniqueFd listener_;
  std::vector<std::unique_ptr<VerifiedStream>> streams_;
  std::int64_t next_send_us_ = 0;
  bool over_ = false;
};

void run_source(const Options& options) {
  Verifier verifier{options};
  Greeting greeting;
  greeting.seed = number(options, "seed");
  greeting.agent = static_cast<std::uint32_t>(number(options, "agent"));
  greeting.chunk_bytes = static_cast<std::uint32_t>(number(options, "chunk"));
  greeting.tick_us = static_cast<std::uint32_t>(number(options, "tick-us"));
  if (greeting.chunk_bytes < 32 || greeting.chunk_bytes % 8 != 0 || greeting.tick_us == 0) fail(2, kUsage);
  const Endpoint to = parse_endpoint(text(options, "to"));
  for (greeting.stream = 0; greeting.stream < number(options, "streams"); ++greeting.stream) {
    verifier.connect(to, greeting);
  }
  if (verifier.carry_first()) {
    std::printf("ready\n");
    std::fflush(stdout);
  }
  verifier.run();
  verifier.finish();
  verifier.print();
}

void run_sink(const Options& options) {
  Verifier verifier{options};
  verifier.listen(parse_endpoint(text(options, "listen")));
  verifier.run();
  verifier.print();
}

}  // namespace
}  // namespace culvert::bench

int main(int argc, char** argv) {
  using namespace culvert::bench;
  std::signal(SIGPIPE, SIG_IGN);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (argc % 2 != 0 || (mode != "sink" && mode != "source")) fail(2, kUsage);
  Options options;
  for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  if (mode == "sink") {
    run_sink(options);
  } else {
    run_source(options);
  }
}
