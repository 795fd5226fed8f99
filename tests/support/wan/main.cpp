// wan-line: a long, slow or bad line between two network namespaces, in one program without packet scheduler
// modules.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "tests/support/wan/line.hpp"

namespace {

using namespace culvert::wan;

constexpr const char* kUsage =
    R"(wan-line [--seed N] [--near ADDRESS] [--far ADDRESS]

Makes two network namespaces and forwards IPv4 packets between them. Prints one JSON line when it is ready: its pid and
the descriptors by which others enter, as in: nsenter --net=/proc/PID/fd/NEAR command. Needs root. Ends, and the
namespaces with it, at the end of stdin. Commands come by stdin, one a line; each is answered by one JSON line:

  set up|down|both NAME VALUE...   delay_ms, jitter_ms, loss (0 to 1), rate_mbit (0: none), queue_bytes, reorder (0, 1)
  cut up|down|both                 nothing passes, nobody is told; uncut ends it
  flows                            TCP connections seen
  reset FLOW... | reset port PORT  both ends of the connections, or of all to that far port, get a TCP reset
  hole ...                         the same choice; its packets vanish
  truncate ...                     the next packet with payload loses half and gets a FIN, then as reset
  rebind ...                       an address translator forgot it: new source port towards the far end
  stats, clear                     counters of both ways; set them to zero

`up` is from near to far. `at_us` in an answer is CLOCK_MONOTONIC, when the command was in force.
)";

/// Packets that are due within this time of a wake-up wait for the next one, as network cards' interrupts do.
constexpr std::int64_t kGrainNs = 100'000;
constexpr std::int64_t kSecondNs = 1'000'000'000;

struct Options {
  std::uint64_t seed = 1;
  std::string near_address = "10.77.0.1";
  std::string far_address = "10.77.0.2";
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (i + 1 == argc || (name != "--seed" && name != "--near" && name != "--far")) {
      std::fputs(kUsage, stderr);
      std::exit(2);
    }
    const std::string value = argv[++i];
    if (name == "--seed") options.seed = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--near") options.near_address = value;
    if (name == "--far") options.far_address = value;
  }
  return options;
}

/// Hands whole lines of stdin to the line and prints the answers. False at the end of stdin.
bool read_commands(Line& line, std::string& pending) {
  char piece[4096];
  const ssize_t n = ::read(STDIN_FILENO, piece, sizeof piece);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
  if (n > 0) pending.append(piece, static_cast<std::size_t>(n));
  for (std::size_t end = 0; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
    std::puts(line.obey(pending.substr(0, end)).c_str());
  }
  std::fflush(stdout);
  return true;
}

timespec until(std::int64_t from, std::int64_t to) {
  const std::int64_t left = std::clamp<std::int64_t>(to - from, 0, kSecondNs);
  return {left / kSecondNs, left % kSecondNs};
}

void run(Line& line, int near_tun, int far_tun) {
  pollfd all[3] = {{STDIN_FILENO, POLLIN, 0}, {near_tun, POLLIN, 0}, {far_tun, POLLIN, 0}};
  std::string pending;
  std::int64_t forget_at = now_ns() + kSecondNs;
  for (;;) {
    const std::int64_t began = now_ns();
    const bool moved = line.work();
    std::int64_t now = now_ns();
    // After work, arrivals are left to gather for a moment; an idle line answers at once.
    if (moved && now < began + kGrainNs) {
      const timespec rest = until(now, began + kGrainNs);
      ::ppoll(all, 1, &rest, nullptr);
    } else if (!moved) {
      const timespec rest = until(now, line.next_due_ns());
      ::ppoll(all, 3, &rest, nullptr);
    } else {
      const timespec none{};
      ::ppoll(all, 1, &none, nullptr);
    }
    if ((all[0].revents & (POLLIN | POLLHUP)) != 0 && !read_commands(line, pending)) return;
    now = now_ns();
    if (now > forget_at) {
      line.forget_old();
      forget_at = now + kSecondNs;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const End near_end = make_end(options.near_address);
  const End far_end = make_end(options.far_address);
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  // A line that waits for the processor would be a longer line. Where that is not allowed, max_late_us tells.
  const sched_param priority{.sched_priority = 1};
  const bool realtime = ::sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
  ::fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  Line line{near_end, far_end, options.seed};
  std::printf("{\"ready\": true, \"pid\": %d, \"near\": %d, \"far\": %d, \"seed\": %llu, \"realtime\": %s}\n",
              ::getpid(), near_end.net_space, far_end.net_space,
              static_cast<unsigned long long>(options.seed), realtime ? "true" : "false");
  std::fflush(stdout);
  run(line, near_end.tun, far_end.tun);
  return 0;
}
