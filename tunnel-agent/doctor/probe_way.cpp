#include "tunnel-agent/doctor/probe_way.hpp"

#include <cerrno>

namespace culvert {

UniqueFd ProbeWay::dial(Instant deadline, int max_segment) const {
  if (address) {
    UniqueFd fd;
    int reason = start_connect(*address, fd, max_segment);
    if (reason == EINPROGRESS) reason = end_connect(fd, deadline);
    return reason == 0 ? std::move(fd) : UniqueFd{};
  }
  if (proxy == nullptr) return {};
  const cloud_api::Wake never;
  auto opened = proxy->connect(host, port, deadline, never);
  return opened ? std::move(*opened) : UniqueFd{};
}

}  // namespace culvert
