// The load of every comparison: the same source and sink, whatever carries the bytes between them.
//
//   bench-load sink --listen PORT       takes connections; the first byte of each says what it is:
//       T  counts and discards until the end, then answers the count
//       R  tells its count every 50 ms
//       E  sends everything back
//       O  sends that byte back, and waits for the end
//       I  the same, and ten thousand of them need no thread each
//
//   bench-load throughput --to PORT… --streams N --bytes B
//   bench-load pingpong   --to PORT --seconds S [--beside PORT [--beside-mbit M]]
//                                                         64 bytes there and back, beside a bulk stream
//   bench-load steady     --to PORT… --streams N --seconds S --warm-up-ms M [--ping PORT]
//                                                         rates at the sink, and a ping-pong beside them
//   bench-load opens      --to PORT --seconds S --streams N
//   bench-load idle       --to PORT --streams N           opens N, proves each, prints 'ready', waits for the
//   end of stdin
//
// Results are one JSON object on stdout. A wrong count or a broken stream ends the program with exit code 1.
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/idle_keeper.hpp"
#include "bench/pingpong.hpp"
#include "bench/sockets.hpp"
#include "bench/steady.hpp"

namespace culvert::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kUsage =
    "usage: bench-load sink --listen PORT\n"
    "       bench-load throughput --to PORT... --streams N --bytes B\n"
    "       bench-load pingpong --to PORT --seconds S [--beside PORT [--beside-mbit M]]\n"
    "       bench-load steady --to PORT... --streams N --seconds S --warm-up-ms M [--ping PORT]\n"
    "       bench-load opens --to PORT --seconds S --streams N\n"
    "       bench-load idle --to PORT --streams N";

struct Options {
  std::string mode;
  Endpoint listen;
  std::vector<Endpoint> to;
  std::uint64_t streams = 1;
  std::uint64_t bytes = std::uint64_t{1} << 30;  ///< Of each stream.
  std::uint64_t seconds = 3;
  std::uint64_t warm_up_ms = 2000;
  std::optional<Endpoint> ping;
  std::optional<Endpoint> beside;
  std::uint64_t beside_mbit = 0;

  const Endpoint& target(std::size_t stream) const { return to[stream % to.size()]; }
};

std::uint64_t parse_number(std::string_view text) {
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n == 0) {
    fail(2, "not a number above 0: " + std::string{text});
  }
  return n;
}

Options parse_options(int argc, char** argv) {
  Options options;
  if (argc < 2) fail(2, kUsage);
  options.mode = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    if (name == "--listen") {
      options.listen = parse_endpoint(value);
    } else if (name == "--to") {
      options.to.push_back(parse_endpoint(value));
    } else if (name == "--streams") {
      options.streams = parse_number(value);
    } else if (name == "--bytes") {
      options.bytes = parse_number(value);
    } else if (name == "--warm-up-ms") {
      options.warm_up_ms = parse_number(value);
    } else if (name == "--ping") {
      options.ping = parse_endpoint(value);
    } else if (name == "--beside") {
      options.beside = parse_endpoint(value);
    } else if (name == "--beside-mbit") {
      options.beside_mbit = parse_number(value);
    } else if (name == "--seconds") {
      options.seconds = parse_number(value);
    } else {
      fail(2, kUsage);
    }
  }
  if (argc % 2 != 0 || (options.mode != "sink" && options.to.empty())) fail(2, kUsage);
  return options;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Source and sink stop the figure when a byte is lost, so a comparison never shows a fast wrong answer.
[[noreturn]] void broken(const char* where) {
  fail(1, std::string{where} + ": the stream broke: " + std::strerror(errno));
}

UniqueFd open_stream(const Endpoint& to, char kind) {
  UniqueFd fd = connect_to(to);
  if (!fd) broken("connect");
  const std::byte first{static_cast<unsigned char>(kind)};
  if (!send_all(fd.value(), {&first, 1})) broken("open");
  return fd;
}

// ---- sink

/// MSG_TRUNC lets the kernel drop the bytes without copying them.
void count_until_end(int fd) {
  std::uint64_t count = 0;
  for (;;) {
    const ssize_t n = ::recv(fd, nullptr, kBlock, MSG_TRUNC);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    if (n == 0) break;
    count += static_cast<std::uint64_t>(n);
  }
  send_all(fd, std::as_bytes(std::span{&count, 1}));
}

void echo(int fd) {
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || !send_all(fd, ByteSpan{buffer}.first(static_cast<std::size_t>(n)))) return;
  }
}

void serve(UniqueFd fd, IdleKeeper& idle) {
  std::byte kind{};
  if (!receive_all(fd.value(), {&kind, 1})) return;
  if (kind == std::byte{'I'}) {
    if (send_all(fd.value(), {&kind, 1})) idle.keep(std::move(fd));
  } else if (kind == std::byte{'O'}) {
    if (send_all(fd.value(), {&kind, 1})) receive_all(fd.value(), {&kind, 1});
  } else if (kind == std::byte{'T'}) {
    count_until_end(fd.value());
  } else if (kind == std::byte{'R'}) {
    count_and_report(fd.value());
  } else {
    echo(fd.value());
  }
}

/// Each worker takes connections itself, and one always waits for the next. A thread for each connection
/// would cost a new stream more than some of what is measured, and bring all peers closer together.
class Sink {
 public:
  explicit Sink(int listener) : listener_(listener) {}

  [[noreturn]] void work() {
    for (;;) {
      UniqueFd fd = accept_one(listener_);
      if (--waiting_ == 0) {
        ++waiting_;
        std::thread{&Sink::work, this}.detach();
      }
      serve(std::move(fd), idle_);
      ++waiting_;
    }
  }

 private:
  const int listener_;
  IdleKeeper idle_;
  std::atomic<int> waiting_{1};
};

void run_sink(const Options& options) {
  const UniqueFd listener = listen_on(options.listen);
  std::printf("ready %u\n", port_of(listener.value()));
  std::fflush(stdout);
  Sink{listener.value()}.work();
}

// ---- sources

void run_throughput(const Options& options) {
  const std::vector<std::byte> block(kBlock, std::byte{0x5a});
  std::vector<double> seconds(options.streams);
  std::barrier start{static_cast<std::ptrdiff_t>(options.streams) + 1};
  std::vector<std::jthread> sources;
  for (std::size_t i = 0; i < options.streams; ++i) {
    sources.emplace_back([&, i] {
      const UniqueFd fd = open_stream(options.target(i), 'T');
      start.arrive_and_wait();
      const auto began = Clock::now();
      for (std::uint64_t left = options.bytes; left > 0;) {
        const std::size_t n = std::min<std::uint64_t>(left, block.size());
        if (!send_all(fd.value(), ByteSpan{block}.first(n))) broken("send");
        left -= n;
      }
      ::shutdown(fd.value(), SHUT_WR);
      std::uint64_t counted = 0;
      if (!receive_all(fd.value(), std::as_writable_bytes(std::span{&counted, 1}))) broken("count");
      if (counted != options.bytes) {
        fail(1, "the sink counted " + std::to_string(counted) + " of " + std::to_string(options.bytes) +
                    " bytes");
      }
      seconds[i] = seconds_since(began);
    });
  }
  start.arrive_and_wait();
  const auto began = Clock::now();
  sources.clear();  // Joins.
  const double all = seconds_since(began);
  const double per_stream = static_cast<double>(options.bytes) / 1e9;
  const auto [fastest, slowest] = std::minmax_element(seconds.begin(), seconds.end());
  std::printf(
      "{\"streams\": %zu, \"seconds\": %.4f, \"gb\": %.4f, \"gb_per_s\": %.4f, "
      "\"slowest_stream_gb_per_s\": %.4f, \"fastest_stream_gb_per_s\": %.4f}\n",
      seconds.size(), all, per_stream * static_cast<double>(seconds.size()),
      per_stream * static_cast<double>(seconds.size()) / all, per_stream / *slowest, per_stream / *fastest);
}

void run_opens(const Options& options) {
  std::atomic<std::uint64_t> opened{0};
  const auto end = Clock::now() + std::chrono::seconds{options.seconds};
  const auto began = Clock::now();
  {
    std::vector<std::jthread> openers;
    for (std::size_t i = 0; i < options.streams; ++i) {
      openers.emplace_back([&, i] {
        while (Clock::now() < end) {
          const UniqueFd fd = open_stream(options.target(i), 'O');
          std::byte one{};
          if (!receive_all(fd.value(), {&one, 1})) broken("open");
          ++opened;
        }
      });
    }
  }
  const double seconds = seconds_since(began);
  std::printf("{\"opens\": %llu, \"opens_per_s\": %.1f}\n", static_cast<unsigned long long>(opened.load()),
              static_cast<double>(opened.load()) / seconds);
}

/// Sixteen at once: waiting for one handshake after the other takes minutes.
void run_idle(const Options& options) {
  constexpr std::size_t kOpeners = 16;
  std::vector<UniqueFd> streams(options.streams);
  std::atomic<std::size_t> next{0};
  {
    std::vector<std::jthread> openers;
    for (std::size_t i = 0; i < kOpeners; ++i) {
      openers.emplace_back([&] {
        std::byte one{};
        for (std::size_t mine = next++; mine < streams.size(); mine = next++) {
          streams[mine] = open_stream(options.target(mine), 'I');
          if (!receive_all(streams[mine].value(), {&one, 1})) broken("idle");
        }
      });
    }
  }
  std::printf("ready %zu\n", streams.size());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}

void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace
}  // namespace culvert::bench

int main(int argc, char** argv) {
  using namespace culvert::bench;
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  const Options options = parse_options(argc, argv);
  if (options.mode == "sink") {
    run_sink(options);
  } else if (options.mode == "throughput") {
    run_throughput(options);
  } else if (options.mode == "steady") {
    run_steady({.to = options.to,
                .streams = options.streams,
                .warm_up = std::chrono::milliseconds{options.warm_up_ms},
                .measured = std::chrono::seconds{options.seconds},
                .ping = options.ping});
  } else if (options.mode == "pingpong") {
    run_pingpong({.to = options.target(0),
                  .measured = std::chrono::seconds{options.seconds},
                  .beside = options.beside,
                  .beside_mbit = options.beside_mbit});
  } else if (options.mode == "opens") {
    run_opens(options);
  } else if (options.mode == "idle") {
    run_idle(options);
  } else {
    fail(2, kUsage);
  }
}
