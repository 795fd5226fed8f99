#include "tunnel-core/net/line_facts.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace culvert {

namespace {

std::string congestion_control_of(int fd) {
  char name[16] = {};  // TCP_CA_NAME_MAX of the kernel.
  socklen_t size = sizeof name - 1;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size) != 0) return {};
  return name;
}

}  // namespace

std::optional<LineFacts> line_facts(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  if (size < offsetof(tcp_info, tcpi_sndbuf_limited) + sizeof info.tcpi_sndbuf_limited) return std::nullopt;
  return LineFacts{info.tcpi_segs_out,
                   info.tcpi_total_retrans,
                   info.tcpi_retransmits,
                   std::chrono::microseconds{info.tcpi_rtt},
                   std::chrono::microseconds{info.tcpi_min_rtt},
                   std::chrono::microseconds{info.tcpi_busy_time},
                   std::chrono::microseconds{info.tcpi_rwnd_limited + info.tcpi_sndbuf_limited},
                   congestion_control_of(fd)};
}

}  // namespace culvert
