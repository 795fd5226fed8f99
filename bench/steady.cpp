#include "bench/steady.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

namespace culvert::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kReportEvery{50};
/// One stream's turn; small enough that many streams start together.
constexpr std::size_t kTurn = 64 * 1024;

struct Report {
  std::int64_t at_us;
  std::uint64_t bytes;
};

std::int64_t micros(Clock::time_point t) {
  return std::chrono::duration_cast<std::chrono::microseconds>(t.time_since_epoch()).count();
}

/// Bytes by `at_us`, on the straight line between the reports around it.
double bytes_at(const std::vector<Report>& reports, std::int64_t at_us) {
  const auto after = std::lower_bound(reports.begin(), reports.end(), at_us,
                                      [](const Report& report, std::int64_t t) { return report.at_us < t; });
  if (after == reports.begin() || after == reports.end())
    return after == reports.end() ? static_cast<double>(reports.back().bytes) : 0;
  const Report& before = *(after - 1);
  const double part =
      static_cast<double>(at_us - before.at_us) / static_cast<double>(after->at_us - before.at_us);
  return static_cast<double>(before.bytes) + part * static_cast<double>(after->bytes - before.bytes);
}

class Source {
 public:
  Source(const Endpoint& to, std::int64_t began_us) : fd_{connect_to(to)} {
    const std::byte kind{'R'};
    if (!fd_ || !send_all(fd_.value(), {&kind, 1}))
      fail(1, std::string{"steady: connect: "} + std::strerror(errno));
    ::fcntl(fd_.value(), F_SETFL, O_NONBLOCK);
    reports_.push_back({began_us, 0});
  }

  int fd() const { return fd_.value(); }
  const std::vector<Report>& reports() const { return reports_; }

  void send_some(ByteSpan block) {
    if (::send(fd(), block.data(), block.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != EINTR) {
      fail(1, std::string{"steady: a stream broke: "} + std::strerror(errno));
    }
  }

  void read_reports() {
    const ssize_t n = ::recv(fd(), partial_.data() + have_, partial_.size() - have_, 0);
    if (n == 0) fail(1, "steady: a stream was closed by the sink");
    if (n < 0) {
      if (errno != EAGAIN && errno != EINTR)
        fail(1, std::string{"steady: a stream broke: "} + std::strerror(errno));
      return;
    }
    have_ += static_cast<std::size_t>(n);
    std::size_t used = 0;
    for (; have_ - used >= sizeof(Report); used += sizeof(Report)) {
      Report report{};
      std::memcpy(&report, partial_.data() + used, sizeof report);
      reports_.push_back(report);
    }
    std::memmove(partial_.data(), partial_.data() + used, have_ - used);
    have_ -= used;
  }

  /// Without waiting for what is still in buffers: the next measurement wants the line.
  void abort() {
    const linger at_once{1, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    fd_ = UniqueFd{};
  }

 private:
  UniqueFd fd_;
  std::vector<Report> reports_;
  std::array<std::byte, 1024> partial_{};
  std::size_t have_ = 0;
};

/// Round trips of an echo, one after the other, from `from` to `to`.
void ping(const SteadyOptions& options, Clock::time_point from, Clock::time_point to,
          std::vector<double>& trips_ms) {
  const UniqueFd fd = connect_to(*options.ping);
  const std::byte kind{'E'};
  if (!fd || !send_all(fd.value(), {&kind, 1})) fail(1, "steady: the ping-pong could not connect");
  std::vector<std::byte> bytes(options.ping_bytes);
  while (Clock::now() < to) {
    const auto began = Clock::now();
    if (!send_all(fd.value(), bytes) || !receive_all(fd.value(), bytes))
      fail(1, "steady: the ping-pong broke");
    const auto ended = Clock::now();
    if (began >= from) trips_ms.push_back(std::chrono::duration<double, std::milli>(ended - began).count());
  }
  std::sort(trips_ms.begin(), trips_ms.end());
}

/// Seconds until all streams together run at 90 % of `steady` (bytes a second), looking at windows of a fifth
/// of a second: one does, and so does the median of those in the second after it. Slow start that goes too
/// far is there for a moment and falls back.
double ramp_seconds(const std::vector<Source>& sources, std::int64_t began_us, std::int64_t end_us,
                    double steady) {
  constexpr std::int64_t kWindow = 200'000;
  constexpr int kFollowing = 5;
  const auto runs = [&](std::int64_t at) {
    double moved = 0;
    for (const Source& source : sources) {
      moved += bytes_at(source.reports(), at + kWindow) - bytes_at(source.reports(), at);
    }
    return moved * 1e6 / kWindow >= 0.9 * steady;
  };
  const auto lasts = [&](std::int64_t from) {
    int running = 0;
    for (int i = 0; i < kFollowing; ++i) running += runs(from + i * kWindow) ? 1 : 0;
    return running > kFollowing / 2;
  };
  for (std::int64_t at = began_us; at + (1 + kFollowing) * kWindow <= end_us; at += kWindow / 4) {
    if (runs(at) && lasts(at + kWindow)) return static_cast<double>(at + kWindow - began_us) / 1e6;
  }
  return static_cast<double>(end_us - began_us) / 1e6;
}

void pump(std::vector<Source>& sources, std::int64_t end_us) {
  const std::vector<std::byte> block(kTurn, std::byte{0x5a});
  const UniqueFd poll{::epoll_create1(EPOLL_CLOEXEC)};
  for (std::size_t i = 0; i < sources.size(); ++i) {
    epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.u64 = i}};
    ::epoll_ctl(poll.value(), EPOLL_CTL_ADD, sources[i].fd(), &event);
  }
  const auto all_told = [&] {
    return std::all_of(sources.begin(), sources.end(),
                       [end_us](const Source& source) { return source.reports().back().at_us >= end_us; });
  };
  std::array<epoll_event, 64> events;
  while (!all_told()) {
    // A sink reports even while nothing arrives: a minute without the report means that the way back is dead.
    if (micros(Clock::now()) > end_us + 60'000'000) fail(1, "steady: no report of the sink for a minute");
    const int n = ::epoll_wait(poll.value(), events.data(), static_cast<int>(events.size()), 1000);
    for (int i = 0; i < n; ++i) {
      Source& source = sources[events[static_cast<std::size_t>(i)].data.u64];
      const std::uint32_t what = events[static_cast<std::size_t>(i)].events;
      if ((what & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) source.read_reports();
      if ((what & EPOLLOUT) != 0) source.send_some(block);
    }
  }
}

}  // namespace

void run_steady(const SteadyOptions& options) {
  const auto began = Clock::now();
  const auto from = began + options.warm_up;
  const auto to = from + options.measured;
  std::vector<Source> sources;
  for (std::size_t i = 0; i < options.streams; ++i) {
    sources.emplace_back(options.to[i % options.to.size()], micros(began));
  }
  std::vector<double> trips;
  {
    std::jthread pinger;
    if (options.ping) pinger = std::jthread{[&] { ping(options, from, to, trips); }};
    pump(sources, micros(to));
  }
  double sum = 0;
  double squares = 0;
  std::string each;
  for (const Source& source : sources) {
    const double bytes = bytes_at(source.reports(), micros(to)) - bytes_at(source.reports(), micros(from));
    sum += bytes;
    squares += bytes * bytes;
    each += (each.empty() ? "" : ", ") +
            std::to_string(bytes * 8 / 1e6 / std::chrono::duration<double>(options.measured).count());
  }
  const double seconds = std::chrono::duration<double>(options.measured).count();
  const double jain = squares > 0 ? sum * sum / (static_cast<double>(sources.size()) * squares) : 0;
  std::printf("{\"mbit_per_s\": %.4f, \"jain\": %.5f, \"ramp_s\": %.3f, \"streams\": [%s]",
              sum * 8 / 1e6 / seconds, jain, ramp_seconds(sources, micros(began), micros(to), sum / seconds),
              each.c_str());
  std::printf(", \"from_us\": %lld, \"to_us\": %lld", static_cast<long long>(micros(from)),
              static_cast<long long>(micros(to)));
  if (!trips.empty()) {
    std::printf(", \"round_trips\": %zu, \"ping_p50_ms\": %.3f, \"ping_p99_ms\": %.3f", trips.size(),
                trips[trips.size() / 2], trips[trips.size() * 99 / 100]);
  }
  std::printf("}\n");
  for (Source& source : sources) source.abort();
}

void count_and_report(int fd) {
  const timeval period{0, std::chrono::duration_cast<std::chrono::microseconds>(kReportEvery).count()};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &period, sizeof period);
  std::uint64_t count = 0;
  auto next = Clock::now();
  for (;;) {
    const ssize_t n = ::recv(fd, nullptr, kBlock, MSG_TRUNC);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
    if (n > 0) count += static_cast<std::uint64_t>(n);
    const auto now = Clock::now();
    if (now < next) continue;
    next = now + kReportEvery;
    const Report report{micros(now), count};
    if (!send_all(fd, std::as_bytes(std::span{&report, 1}))) return;
  }
}

}  // namespace culvert::bench
