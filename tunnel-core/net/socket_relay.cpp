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
constexpr std::size_t kReadAtOnce = kSpans * kSlabSize;
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

/// Cuts what goes beyond `most` bytes. @return how many vectors are left.
std::size_t trim(std::span<iovec> vectors, std::size_t most) {
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    if (vectors[i].iov_len < most) {
      most -= vectors[i].iov_len;
      continue;
    }
    vectors[i].iov_len = most;
    return i + 1;
  }
  return vectors.size();
}

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

}  // namespace

SocketRelay::SocketRelay(SessionDriver& driver, asio::ip::tcp::socket socket, const StreamLimits* limits)
    : driver_(&driver), socket_(std::move(socket)), limits_(limits) {}

void SocketRelay::start_reading(StreamId id) {
  id_ = id;
  read_socket();
}

void SocketRelay::start_waiting(StreamId id) {
  id_ = id;
  wait_for_input();
}

void SocketRelay::handle_readable() {
  if (!waiting_room_ && !held_back(RelayDirection::Write)) write_socket();
}

void SocketRelay::handle_writable() {
  if (!waiting_input_ && !held_back(RelayDirection::Read)) read_socket();
}

/// How many of `want` bytes the limits let pass now. 0: handle_turn() goes on.
std::size_t SocketRelay::allowance(RelayDirection direction, std::size_t want) {
  const auto at = static_cast<std::size_t>(direction);
  if (limits_ == nullptr) return want;
  if (!limits_->any[at]) {
    if (turns_[at] != nullptr) turns_[at]->leave();
    return want;
  }
  if (turns_[at] == nullptr) turns_[at] = std::make_unique<Turn>(*this, direction);
  return turns_[at]->acquire(limits_->of[at], want);
}

bool SocketRelay::held_back(RelayDirection direction) const {
  const auto& turn = turns_[static_cast<std::size_t>(direction)];
  return turn != nullptr && turn->waiting();
}

void SocketRelay::spend(RelayDirection direction, ssize_t moved) {
  const auto& turn = turns_[static_cast<std::size_t>(direction)];
  if (turn != nullptr && moved > 0) turn->spend(static_cast<std::uint64_t>(moved));
}

/// The direction waits for something else than its limits: they are for others now.
void SocketRelay::settle(RelayDirection direction) {
  const auto& turn = turns_[static_cast<std::size_t>(direction)];
  if (turn != nullptr) turn->release();
}

void SocketRelay::handle_turn(RelayDirection direction) {
  if (driver_ == nullptr) return;
  const auto keep = shared_from_this();  // A socket that fails leaves the driver, who may be the only owner.
  driver_->refresh_now();
  if (direction == RelayDirection::Read) {
    if (!waiting_input_) read_socket();
  } else if (!waiting_room_) {
    write_socket();
  }
  if (driver_ != nullptr) driver_->schedule_flush();
}

void SocketRelay::leave_limits() {
  for (const auto& turn : turns_) {
    if (turn == nullptr) continue;
    turn->leave();
    turn->release();
  }
  limits_ = nullptr;
}

SocketRelay::Input SocketRelay::take_input(std::size_t most) {
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
  if (input.room > most) {
    message.msg_iovlen = trim({vectors, count}, most);
    input.room = most;
  }
  input.taken = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT);
  input.error = input.taken < 0 ? errno : 0;
  session.commit_read(id_, input.taken > 0 ? static_cast<std::size_t>(input.taken) : 0, driver_->now());
  return input;
}

void SocketRelay::read_socket() {
  while (driver_ != nullptr && !input_ended_) {
    const std::size_t allowed = allowance(RelayDirection::Read, kReadAtOnce);
    if (allowed == 0) return watch_for_reset();
    const Input input = take_input(allowed);
    spend(RelayDirection::Read, input.taken);
    const bool more = input.taken > 0 && static_cast<std::size_t>(input.taken) == input.room;
    if (!more) settle(RelayDirection::Read);
    if (input.room == 0) return watch_for_reset();
    if (input.taken > 0) {
      if (!more) return wait_for_input();
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
      settle(RelayDirection::Write);
      if (!session.at_end(id_)) return;
      session.handle_fin_delivered(id_, driver_->now());
      output_ended_ = true;
      // Where that was the last of both ends, the event that closes the socket comes next, and says FIN too.
      if (!session.is_over(id_)) ::shutdown(socket_.native_handle(), SHUT_WR);
      return;
    }
    if (written >= kWriteAtOnce) {
      settle(RelayDirection::Write);
      waiting_room_ = true;
      return asio::post(socket_.get_executor(), [self = shared_from_this()] {
        self->waiting_room_ = false;
        self->write_socket();
        if (self->driver_ != nullptr) self->driver_->flush();
      });
    }
    iovec vectors[kSpans];
    const std::size_t there = fill<ByteSpan>(vectors, {spans, count});
    const std::size_t size = allowance(RelayDirection::Write, there);
    if (size == 0) return;
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = size < there ? trim({vectors, count}, size) : count;
    const ssize_t n = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (would_block(errno)) return wait_for_room();
      return socket_failed(errno);
    }
    spend(RelayDirection::Write, n);
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
  settle(RelayDirection::Write);
  waiting_room_ = true;
  socket_.async_wait(asio::socket_base::wait_write, [self = shared_from_this()](error_code error) {
    self->waiting_room_ = false;
    if (error || self->driver_ == nullptr) return;
    self->write_socket();
    if (self->driver_ != nullptr) self->driver_->flush();
  });
}

/// A socket that nobody reads (its window is full, or its end has come) still has to tell of a reset, unless
/// there is nothing left that it could undo.
void SocketRelay::watch_for_reset() {
  if (watching_ || driver_ == nullptr || (input_ended_ && output_ended_)) return;
  watching_ = true;
  socket_.async_wait(asio::socket_base::wait_error, [self = shared_from_this()](error_code error) {
    self->watching_ = false;
    if (error || self->driver_ == nullptr) return;
    self->handle_trouble();
    if (self->driver_ != nullptr) self->driver_->flush();
  });
}

void SocketRelay::handle_trouble() {
  pollfd state{socket_.native_handle(), POLLPRI, 0};
  ::poll(&state, 1, 0);
  if ((state.revents & POLLERR) != 0) {
    // POLLERR leaves the error in the socket: bytes that came before it can still be read.
    if (!waiting_input_) read_socket();
    if (driver_ != nullptr) socket_failed(ECONNRESET);
  } else if ((state.revents & POLLPRI) != 0) {
    // TCP's urgent byte, which a stream does not carry. Until it is taken it would wake us again and again.
    std::byte urgent{};
    const ssize_t taken = ::recv(socket_.native_handle(), &urgent, 1, MSG_OOB | MSG_DONTWAIT);
    if (taken >= 0) watch_for_reset();
  }
}

void SocketRelay::socket_failed(int error) {
  // A target that answers and then resets is heard, although a failed write may be the first we learn of it.
  // The end that is read after a reset is no end of the stream: whoever reports the error of a socket takes
  // it away.
  if (!input_ended_) {
    while (take_input(SIZE_MAX).taken > 0) {
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
  leave_limits();
  reset_when_closed(socket_.native_handle(), false);
  error_code ignored;
  socket_.close(ignored);
}

void SocketRelay::abort() {
  driver_ = nullptr;
  leave_limits();
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace culvert
