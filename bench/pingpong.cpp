#include "bench/pingpong.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace culvert::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// What network cards and kernels hand over at once from a fast line.
constexpr std::size_t kPacedPiece = 64 * 1024;
constexpr std::chrono::milliseconds kWarmUp{300};

[[noreturn]] void broken(const char* what) {
  fail(1, std::string{"pingpong: "} + what + ": the stream broke: " + std::strerror(errno));
}

UniqueFd open_stream(const Endpoint& to, char kind) {
  UniqueFd fd = connect_to(to);
  const std::byte first{static_cast<unsigned char>(kind)};
  if (!fd || !send_all(fd.value(), {&first, 1})) broken("open");
  return fd;
}

/// Sends until `over`; the sink's count, which is everything that was sent. Pieces of a held stream are due
/// at set times, so that one that was late does not move the others.
std::uint64_t send_bulk(const PingpongOptions& options, const std::atomic<bool>& over) {
  const UniqueFd fd = open_stream(*options.beside, 'T');
  const std::vector<std::byte> block(options.beside_mbit == 0 ? kBlock : kPacedPiece, std::byte{0x5a});
  const std::size_t bytes_per_us_x8 = options.beside_mbit;
  std::uint64_t sent = 0;
  for (const auto began = Clock::now(); !over; sent += block.size()) {
    if (bytes_per_us_x8 != 0) {
      std::this_thread::sleep_until(began + std::chrono::microseconds{sent * 8 / bytes_per_us_x8});
    }
    if (!send_all(fd.value(), block)) broken("bulk");
  }
  ::shutdown(fd.value(), SHUT_WR);
  std::uint64_t counted = 0;
  if (!receive_all(fd.value(), std::as_writable_bytes(std::span{&counted, 1}))) broken("count");
  if (counted != sent) fail(1, "pingpong: the bulk stream lost bytes");
  return counted;
}

}  // namespace

void run_pingpong(const PingpongOptions& options) {
  std::atomic<bool> over{false};
  std::uint64_t bulk = 0;
  const auto bulk_began = Clock::now();
  std::jthread beside;
  if (options.beside) beside = std::jthread{[&] { bulk = send_bulk(options, over); }};

  const UniqueFd fd = open_stream(options.to, 'E');
  std::vector<std::byte> bytes(options.bytes);
  std::vector<double> micros;
  const auto first = Clock::now() + kWarmUp;
  for (auto now = Clock::now(); now < first + options.measured;) {
    if (!send_all(fd.value(), bytes) || !receive_all(fd.value(), bytes)) broken("ping");
    const auto ended = Clock::now();
    if (now >= first) micros.push_back(std::chrono::duration<double, std::micro>(ended - now).count());
    now = ended;
  }
  over = true;
  if (beside.joinable()) beside.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - bulk_began).count();
  if (micros.empty()) fail(1, "pingpong: not one round trip; measure for longer");
  std::sort(micros.begin(), micros.end());
  std::printf("{\"round_trips\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"beside_gb_per_s\": %.4f}\n",
              micros.size(), micros[micros.size() / 2], micros[micros.size() * 99 / 100],
              static_cast<double>(bulk) / 1e9 / seconds);
}

}  // namespace culvert::bench
