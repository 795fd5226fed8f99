#include "cloud-api-client/include/cloud_api/wake.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace culvert::cloud_api {

Wake::Wake() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw std::system_error(errno, std::system_category(), "eventfd");
}

Wake::~Wake() {
  ::close(fd_);
}

void Wake::signal() noexcept {
  signalled_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(fd_, &one, sizeof one);
}

int poll_timeout_ms(Instant deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
}

Woken wait_for(const Wake* done, const Wake& cancelled, Instant deadline) {
  for (;;) {
    pollfd entries[2] = {{cancelled.fd(), POLLIN, 0}, {done != nullptr ? done->fd() : -1, POLLIN, 0}};
    const int timeout = poll_timeout_ms(deadline);
    const int ready = ::poll(entries, 2, timeout);
    if (ready > 0 && cancelled.signalled()) return Woken::Cancelled;
    if (ready > 0 && done != nullptr && done->signalled()) return Woken::Done;
    if (ready == 0 && poll_timeout_ms(deadline) == 0) return Woken::DeadlinePassed;
  }
}

}  // namespace culvert::cloud_api
