#include "tunnel-core/net/tls_stream.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>

#include "tunnel-core/base/assert.hpp"
#include "tunnel-core/net/error_category.hpp"

namespace culvert {
namespace {

/// What one async_write_some seals before it sends: enough records for one large system call.
constexpr std::size_t kWriteBatch = 64 * 1024;

/// Must be set before any operation of Asio, which otherwise emulates blocking itself.
asio::ip::tcp::socket non_blocking(asio::ip::tcp::socket socket) {
  error_code
      ignored;  // Our own calls say MSG_DONTWAIT, and a socket that fails here fails in the handshake too.
  socket.non_blocking(true, ignored);
  return socket;
}

}  // namespace

TlsStream::TlsStream(asio::ip::tcp::socket socket, TlsContext context, TlsLimits limits)
    : socket_(non_blocking(std::move(socket))),
      engine_(std::make_unique<TlsEngine>(socket_.native_handle(), std::move(context), limits)) {}

TlsStream::TlsStream(asio::ip::tcp::socket socket, std::unique_ptr<TlsEngine> engine)
    : socket_(non_blocking(std::move(socket))), engine_(std::move(engine)) {}

TlsStream::~TlsStream() = default;

Result<std::unique_ptr<TlsStream>> TlsStream::attach(asio::io_context& io_context, Detached detached) {
  asio::ip::tcp::socket socket{io_context};
  error_code error;
  socket.assign(detached.protocol, detached.fd.value(), error);
  if (error) return Error{Errc::IoFailed, "cannot hand over a connection: " + error.message()};
  detached.fd.release();
  return std::unique_ptr<TlsStream>{new TlsStream{std::move(socket), std::move(detached.engine)}};
}

TlsStream::Detached TlsStream::detach() {
  Detached detached;
  error_code error;
  const auto endpoint = socket_.local_endpoint(error);
  if (!error) detached.protocol = endpoint.protocol();
  const int fd = socket_.release(error);
  // Asio refuses only a closed socket; then there is nothing to hand over and the next call on it fails.
  if (!error) detached.fd = UniqueFd{fd};
  detached.engine = std::move(engine_);
  return detached;
}

TlsStream::Step TlsStream::failed() const {
  return {Step::Next::Complete, error_code_of(engine_->last_error().code())};
}

TlsStream::Step TlsStream::handshake_step(Operation<false>&) {
  switch (engine_->handshake()) {
    case HandshakeOutcome::Done:
      return {Step::Next::Complete};
    case HandshakeOutcome::WaitReadable:
      return {Step::Next::WaitReadable};
    case HandshakeOutcome::WaitWritable:
      return {Step::Next::WaitWritable};
    case HandshakeOutcome::Failed:
      break;
  }
  return failed();
}

TlsStream::Step TlsStream::shutdown_step(Operation<false>&) {
  engine_->seal_close();
  switch (engine_->flush()) {
    case FlushOutcome::Done:
      return {Step::Next::Complete};
    case FlushOutcome::WouldBlock:
      return {Step::Next::WaitWritable};
    case FlushOutcome::Failed:
      break;
  }
  return failed();
}

TlsStream::Step TlsStream::read_step(Operation<true>& operation) {
  if (operation.out.size() == 0) return {Step::Next::Complete};
  const ReadOutcome outcome =
      engine_->read_some({static_cast<std::byte*>(operation.out.data()), operation.out.size()});
  // What the read caused goes out now if it can; otherwise it leaves with the next write.
  if (engine_->unsent() != 0) engine_->flush();
  switch (outcome.kind) {
    case ReadOutcome::Kind::Data:
      return {Step::Next::Complete, {}, outcome.n};
    case ReadOutcome::Kind::WouldBlock:
      return {Step::Next::WaitReadable};
    case ReadOutcome::Kind::Closed:
      return {Step::Next::Complete, asio::error::eof};
    case ReadOutcome::Kind::Failed:
      break;
  }
  return failed();
}

TlsStream::Step TlsStream::write_step(Operation<true>& operation) {
  const auto* bytes = static_cast<const std::byte*>(operation.in.data());
  const std::size_t wanted = std::min(operation.in.size(), kWriteBatch);
  while (operation.sealed < wanted) {
    const std::size_t n = std::min(wanted - operation.sealed, kMaxRecordPlaintext);
    if (!engine_->seal({bytes + operation.sealed, n})) return failed();
    operation.sealed += n;
  }
  switch (engine_->flush()) {
    case FlushOutcome::Done:
      return {Step::Next::Complete, {}, operation.sealed};
    case FlushOutcome::WouldBlock:
      return {Step::Next::WaitWritable};
    case FlushOutcome::Failed:
      break;
  }
  return failed();
}

void TlsStream::close() {
  if (!socket_.is_open()) return;
  engine_->seal_close();
  engine_->flush();
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  discard_input();
  socket_.close(ignored);
}

void TlsStream::discard_input() {
  std::array<std::byte, 4096> scratch;
  for (int i = 0; i < 16; ++i) {
    if (::recv(socket_.native_handle(), scratch.data(), scratch.size(), MSG_DONTWAIT) <= 0) return;
  }
}

void TlsStream::abort() {
  if (!socket_.is_open()) return;
  error_code ignored;
  socket_.set_option(asio::socket_base::linger{true, 0}, ignored);
  socket_.close(ignored);
}

}  // namespace culvert
