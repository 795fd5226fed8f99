#include "tunnel-agent/port_listener.hpp"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace culvert {

namespace asio = boost::asio;

namespace {

constexpr int kAcceptsPerWake = 64;  // So that one busy port does not keep its thread from the lanes.
constexpr Duration kFirstBackOff = 50ms;
constexpr Duration kLongestBackOff = 1s;
constexpr Duration kRefusalLineEvery = 10s;

SourceAddress source_of(const sockaddr_storage& storage) {
  SourceAddress source;
  source.address = IpAddress::of(storage);
  // The port is at the same place in both families.
  std::uint16_t port = 0;
  std::memcpy(&port, reinterpret_cast<const char*>(&storage) + sizeof(sa_family_t), sizeof port);
  source.port = static_cast<std::uint16_t>(port << 8 | port >> 8);
  return source;
}

void close_with_reset(int fd) {
  const linger reset{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  ::close(fd);
}

// Connections that died in the queue, and network errors that accept(2) passes on: the next one may be well.
bool concerns_one_connection(int reason) {
  switch (reason) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EOPNOTSUPP:
      return true;
    default:
      return false;
  }
}

}  // namespace

struct PortListener::Socket {
  Socket(asio::io_context& context, int fd) : descriptor(context, fd), timer(context) {}

  asio::posix::stream_descriptor descriptor;
  asio::steady_timer timer;
  Duration back_off = kFirstBackOff;
  bool closed = false;
};

PortListener::PortListener(asio::io_context& context, Forward forward, StreamSink& sink)
    : context_(context), forward_(std::move(forward)), sink_(sink) {}

Result<void> PortListener::open() {
  auto sockets = open_listen_sockets(forward_);
  if (!sockets) return std::move(sockets).error();
  open_with(std::move(*sockets));
  return {};
}

void PortListener::open_with(std::vector<UniqueFd> sockets) {
  for (UniqueFd& fd : sockets) {
    sockets_.push_back(std::make_shared<Socket>(context_, fd.release()));
    wait(sockets_.back());
  }
}

void PortListener::close() {
  for (const auto& socket : sockets_) {
    socket->closed = true;
    boost::system::error_code ignored;
    socket->descriptor.close(ignored);
    socket->timer.cancel();
  }
  sockets_.clear();
}

void PortListener::wait(const std::shared_ptr<Socket>& socket) {
  socket->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                [this, socket](const boost::system::error_code&) {
                                  if (!socket->closed) accept_some(socket);
                                });
}

void PortListener::accept_some(const std::shared_ptr<Socket>& socket) {
  for (int i = 0; i < kAcceptsPerWake; ++i) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    const int fd = ::accept4(socket->descriptor.native_handle(), reinterpret_cast<sockaddr*>(&storage), &size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      const int reason = errno;
      if (reason == EAGAIN || reason == EWOULDBLOCK) break;
      if (concerns_one_connection(reason)) continue;
      return back_off(socket, reason);
    }
    socket->back_off = kFirstBackOff;
    take(fd, source_of(storage));
    if (socket->closed) return;  // The sink had a reason to close this port.
  }
  wait(socket);
}

// Out of descriptors or memory: the connection stays in the kernel's queue, and asking again at once would
// spin.
void PortListener::back_off(const std::shared_ptr<Socket>& socket, int reason) {
  if (socket->back_off == kFirstBackOff) {
    spdlog::warn(
        "forward={} port={} cannot accept: {}; trying again until it works. Raise LimitNOFILE if it goes on",
        forward_.name, forward_.port, std::strerror(reason));
  }
  socket->timer.expires_after(socket->back_off);
  socket->back_off = std::min(socket->back_off * 2, kLongestBackOff);
  socket->timer.async_wait([this, socket](const boost::system::error_code&) {
    if (!socket->closed) accept_some(socket);
  });
}

void PortListener::take(int fd, const SourceAddress& source) {
  if (!forward_.allows(source.address)) return refuse(fd, source);
  sink_.accept(fd, forward_, source);
}

void PortListener::refuse(int fd, const SourceAddress& source) {
  close_with_reset(fd);
  const Instant now = std::chrono::steady_clock::now();
  if (now < next_refusal_line_) {
    ++unlogged_refusals_;
    return;
  }
  spdlog::warn("forward={} port={} source={} refused: allow_from does not name it; refused_before={}",
               forward_.name, forward_.port, source.to_text(), unlogged_refusals_);
  next_refusal_line_ = now + kRefusalLineEvery;
  unlogged_refusals_ = 0;
}

}  // namespace culvert
