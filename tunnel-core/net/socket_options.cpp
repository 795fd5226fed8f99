#include "tunnel-core/net/socket_options.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string_view>

namespace culvert {
namespace {

constexpr std::chrono::milliseconds kNear{2};

void set(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof value);
}

void set_congestion_control(int fd, std::string_view name) {
  ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size()));
}

/// By the least round trip that the kernel has seen, since TCP's handshake at least: the smoothed one is
/// inflated by delayed acknowledgements.
bool is_near(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_min_rtt == 0) return false;
  return std::chrono::microseconds{info.tcpi_min_rtt} < kNear;
}

}  // namespace

void tune_lane_socket(int fd, const LaneSocketOptions& options) {
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_notsent_lowat(fd, options.notsent_lowat_bytes);
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(options.user_timeout.count()));
}

void tune_for_bulk(int fd) {
  if (!is_near(fd)) set_congestion_control(fd, "bbr");
}

void tune_for_answers(int fd) {
  set_congestion_control(fd, "cubic");
}

void set_notsent_lowat(int fd, std::size_t bytes) {
  set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(bytes));
}

void tune_local_socket(int fd) {
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  reset_when_closed(fd, true);
}

void reset_when_closed(int fd, bool reset) {
  const linger value{reset ? 1 : 0, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value);
}

}  // namespace culvert
