// TlsEngine on an Asio socket. Two ways in: Beast's AsyncStream operations for HTTP, and engine() with the
// waits for a lane, which tries first and waits only after WouldBlock. Lives on the thread of its executor;
// detach() moves it.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <utility>

#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/net/tls_engine.hpp"

namespace culvert {

namespace asio = boost::asio;
using boost::system::error_code;

class TlsStream {
 public:
  using executor_type = asio::ip::tcp::socket::executor_type;

  /// Makes the connected `socket` non-blocking and takes it over.
  TlsStream(asio::ip::tcp::socket socket, TlsContext context, TlsLimits limits = {});

  /// A stream between two threads: socket, SSL and whatever was read ahead. Closes the socket if nobody takes
  /// it.
  struct Detached {
    UniqueFd fd;
    std::unique_ptr<TlsEngine> engine;
    asio::ip::tcp protocol = asio::ip::tcp::v4();
  };
  /// Continues a detached stream on this thread. Call engine().read_some() before the first wait: bytes that
  /// were read ahead make no socket readable.
  /// @error IoFailed: the socket cannot join the io_context; it is closed then.
  static Result<std::unique_ptr<TlsStream>> attach(asio::io_context& io_context, Detached detached);

  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;
  ~TlsStream();

  executor_type get_executor() { return socket_.get_executor(); }
  asio::ip::tcp::socket& socket() { return socket_; }
  TlsEngine& engine() { return *engine_; }
  const TlsEngine& engine() const { return *engine_; }
  Error last_error() const { return engine_->last_error(); }

  /// Leaves this object closed. No operation or wait may be pending.
  Detached detach();

  /// Waits for the kernel. Signature void(error_code); operation_aborted after close() or cancel().
  template <class Token>
  auto async_wait_readable(Token&& token) {
    return socket_.async_wait(asio::socket_base::wait_read, std::forward<Token>(token));
  }
  template <class Token>
  auto async_wait_writable(Token&& token) {
    return socket_.async_wait(asio::socket_base::wait_write, std::forward<Token>(token));
  }

  /// Signature void(error_code). On failure last_error() has the sentence.
  template <class Token>
  auto async_handshake(Token&& token) {
    return asio::async_compose<Token, void(error_code)>(
        Operation<false>{*this, &TlsStream::handshake_step, {}, {}}, token, socket_);
  }

  /// AsyncReadStream: at least one byte, at most one record. error::eof is the peer's close_notify and
  /// nothing else.
  template <class MutableBuffers, class Token>
  auto async_read_some(const MutableBuffers& buffers, Token&& token) {
    return asio::async_compose<Token, void(error_code, std::size_t)>(
        Operation<true>{*this, &TlsStream::read_step, first_of<asio::mutable_buffer>(buffers), {}}, token,
        socket_);
  }

  /// AsyncWriteStream: completes when the kernel has taken what was sealed.
  template <class ConstBuffers, class Token>
  auto async_write_some(const ConstBuffers& buffers, Token&& token) {
    return asio::async_compose<Token, void(error_code, std::size_t)>(
        Operation<true>{*this, &TlsStream::write_step, {}, first_of<asio::const_buffer>(buffers)}, token,
        socket_);
  }

  /// Sends close_notify; does not wait for the peer's. Signature void(error_code).
  template <class Token>
  auto async_shutdown(Token&& token) {
    return asio::async_compose<Token, void(error_code)>(
        Operation<false>{*this, &TlsStream::shutdown_step, {}, {}}, token, socket_);
  }

  /// Says close_notify as far as the kernel takes it at once, then closes the socket. Waiters get
  /// operation_aborted. Input that is already there is thrown away first, so that the kernel sends FIN and
  /// not a reset that would destroy our last words on the way.
  void close();
  /// Closes with a TCP reset and without close_notify: the peer must not take what it got for everything.
  void abort();

 private:
  /// What an operation does next; the steps are the whole logic, the template below only waits.
  struct Step {
    enum class Next { Complete, WaitReadable, WaitWritable };
    Next next;
    error_code error{};
    std::size_t n = 0;
  };

  template <bool kWithSize>
  struct Operation {
    using StepFunction = Step (TlsStream::*)(Operation&);

    TlsStream& stream;
    StepFunction step;
    asio::mutable_buffer out;
    asio::const_buffer in;
    std::size_t sealed = 0;
    bool waited = false;
    bool finished = false;
    error_code result{};
    std::size_t n = 0;

    template <class Self>
    void operator()(Self& self, error_code error = {}) {
      if (!finished) {
        const Step now = error ? Step{Step::Next::Complete, error} : (stream.*step)(*this);
        if (now.next == Step::Next::WaitReadable) return wait(self, asio::socket_base::wait_read);
        if (now.next == Step::Next::WaitWritable) return wait(self, asio::socket_base::wait_write);
        result = now.error;
        n = now.n;
        finished = true;
        if (!waited) {  // Never complete inside the call that started the operation.
          asio::post(stream.get_executor(), std::move(self));
          return;
        }
      }
      if constexpr (kWithSize) {
        self.complete(result, n);
      } else {
        self.complete(result);
      }
    }

    template <class Self>
    void wait(Self& self, asio::socket_base::wait_type what) {
      waited = true;
      stream.socket_.async_wait(what, std::move(self));
    }
  };

  template <class Buffer, class Buffers>
  static Buffer first_of(const Buffers& buffers) {
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers); ++it) {
      if (Buffer buffer = *it; buffer.size() != 0) return buffer;
    }
    return {};
  }

  TlsStream(asio::ip::tcp::socket socket, std::unique_ptr<TlsEngine> engine);

  Step handshake_step(Operation<false>& operation);
  Step shutdown_step(Operation<false>& operation);
  Step read_step(Operation<true>& operation);
  Step write_step(Operation<true>& operation);
  Step failed() const;
  void discard_input();

  asio::ip::tcp::socket socket_;
  std::unique_ptr<TlsEngine> engine_;
};

}  // namespace culvert
