#include "bench/idle_keeper.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "bench/sockets.hpp"

namespace culvert::bench {

IdleKeeper::IdleKeeper() : epoll_{::epoll_create1(EPOLL_CLOEXEC)} {
  std::thread{[this] { run(); }}.detach();
}

void IdleKeeper::keep(UniqueFd fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd.release();
  if (::epoll_ctl(epoll_.value(), EPOLL_CTL_ADD, event.data.fd, &event) != 0) ::close(event.data.fd);
}

void IdleKeeper::run() {
  std::array<epoll_event, 64> events;
  for (;;) {
    const int count = ::epoll_wait(epoll_.value(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      const ssize_t n = ::recv(fd, nullptr, kBlock, MSG_TRUNC | MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        ::close(fd);  // Closing leaves the epoll set.
    }
  }
}

}  // namespace culvert::bench
