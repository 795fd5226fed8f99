#include "tunnel-core/net/socket_relay.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "tunnel-core/net/session_driver.hpp"
#include "tunnel-core/net/socket_options.hpp"

namespace culvert {
namespace {

constexpr std::size_t kSpans = 17;  ///< 16 slabs and the tail of the one before.
/// Work of one relay at a time; others on the thread come in between.
constexpr std::size_t kWriteAtOnce = 256 * 1024;

template <class Span>
std::size_t fill(std::span<iovec> out, std::span<const Span> spans) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    // sendmsg takes non-const iovecs and does not write to them.
    out[i] = {const_cast<std::byte*>(spans[i].data()), spans[i].size()};
    total += spans[i].size();
  }
  return total;
}

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

void reset_when_closed(asio::ip::tcp::socket& socket, bool reset) {
  error_code ignored;
  socket.set_option(asio::socket_base::linger(reset, 0), ignored);
}

}  // namespace

SocketRelay::SocketRelay(SessionDriver& driver, asio::ip::tcp::socket socket)
    : driver_(&driver), socket_(std::move(socket)) {
  error_code ignored;
  socket_.native_non_blocking(true, ignored);
  tune_local_socket(socket_.native_handle());
  // From the beginning, so that the kernel resets the stream too when it closes the socket of a killed
  // process.
  reset_when_closed(socket_, true);
}

void SocketRelay::start(StreamId id) {
  id_ = id;
  read_socket();
}

void SocketRelay::handle_readable() {
  if (!waiting_room_) write_socket();
}

void SocketRelay::handle_writable() {
  if (!waiting_input_) read_socket();
}

SocketRelay::Input SocketRelay::take_input() {
  MutableByteSpan spans[kSpans];
  Session& session = driver_->session();
  const std::size_t count = session.prepare_read(id_, spans);
  if (count == 0) return {};
  iovec vectors[kSpans];
  Input input;
  input.room = fill<MutableByteSpan>(vectors, {spans, count});
  msghdr message{};
  message.msg_iov = vectors;
  message.msg_iovlen = count;
  input.taken = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT);
  input.error = input.taken < 0 ? errno : 0;
  session.commit_read(id_, input.taken > 0 ? static_cast<std::size_t>(input.taken) : 0, driver_->now());
  return input;
}

void SocketRelay::read_socket() {
  while (driver_ != nullptr && !input_ended_) {
    const Input input = take_input();
    if (input.room == 0) return watch_for_reset();
    if (input.taken > 0) {
      if (static_cast<std::size_t>(input.taken) < input.room) return wait_for_input();
    } else if (input.taken == 0) {
      input_ended_ = true;
      driver_->session().finish_stream(id_, driver_->now());
      return watch_for_reset();
    } else if (would_block(input.error)) {
      return wait_for_input();
    } else if (input.error != EINTR) {
      return socket_failed(input.error);
    }
  }
}

void SocketRelay::write_socket() {
  std::size_t written = 0;
  while (driver_ != nullptr) {
    ByteSpan spans[kSpans];
    Session& session = driver_->session();
    const std::size_t count = session.readable(id_, spans);
    if (count == 0) {
      if (!session.at_end(id_)) return;
      error_code ignored;
      socket_.shutdown(asio::socket_base::shutdown_send, ignored);
      return session.handle_fin_delivered(id_, driver_->now());
    }
    if (written >= kWriteAtOnce) {
      waiting_room_ = true;
      return asio::post(socket_.get_executor(), [self = shared_from_this()] {
        self->waiting_room_ = false;
        self->write_socket();
        if (self->driver_ != nullptr) self->driver_->flush();
      });
    }
    iovec vectors[kSpans];
    const std::size_t size = fill<ByteSpan>(vectors, {spans, count});
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = count;
    const ssize_t n = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (would_block(errno)) return wait_for_room();
      return socket_failed(errno);
    }
    session.consume(id_, static_cast<std::size_t>(n), driver_->now());
    written += static_cast<std::size_t>(n);
    if (static_cast<std::size_t>(n) < size) return wait_for_room();
  }
}

void SocketRelay::wait_for_input() {
  waiting_input_ = true;
  socket_.async_wait(asio::socket_base::wait_read, [self = shared_from_this()](error_code error) {
    self->waiting_input_ = false;
    if (error || self->driver_ == nullptr) return;
    self->read_socket();
    if (self->driver_ != nullptr) self->driver_->flush();
  });
}

void SocketRelay::wait_for_room() {
  waiting_room_ = true;
  socket_.async_wait(asio::socket_base::wait_write, [self = shared_from_this()](error_code error) {
    self->waiting_room_ = false;
    if (error || self->driver_ == nullptr) return;
    self->write_socket();
    if (self->driver_ != nullptr) self->driver_->flush();
  });
}

/// A socket that nobody reads (its window is full, or its end has come) still has to tell of a reset.
void SocketRelay::watch_for_reset() {
  if (watching_ || driver_ == nullptr) return;
  watching_ = true;
  socket_.async_wait(asio::socket_base::wait_error, [self = shared_from_this()](error_code error) {
    self->watching_ = false;
    if (error || self->driver_ == nullptr) return;
    // POLLERR leaves the error in the socket: bytes that came before it can still be read.
    pollfd state{self->socket_.native_handle(), 0, 0};
    ::poll(&state, 1, 0);
    if ((state.revents & POLLERR) != 0) {
      if (!self->waiting_input_) self->read_socket();
      if (self->driver_ != nullptr) self->socket_failed(ECONNRESET);
    }
    if (self->driver_ != nullptr) self->driver_->flush();
  });
}

void SocketRelay::socket_failed(int error) {
  // A target that answers and then resets is heard, although a failed write may be the first we learn of it.
  // The end that is read after a reset is no end of the stream: whoever reports the error of a socket takes
  // it away.
  if (!input_ended_) {
    while (take_input().taken > 0) {
    }
  }
  const bool cancelled = error == ECONNRESET || error == EPIPE;
  SessionDriver& driver = *driver_;
  const auto keep = shared_from_this();
  driver.session().reset_stream_after_delivery(id_, cancelled ? Errc::StreamCancelled : Errc::SocketFailed,
                                               std::strerror(error), driver.now());
  abort();
  driver.relay_ended(id_);
  driver.schedule_flush();
}

void SocketRelay::close() {
  driver_ = nullptr;
  reset_when_closed(socket_, false);
  error_code ignored;
  socket_.close(ignored);
}

void SocketRelay::abort() {
  driver_ = nullptr;
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace culvert
