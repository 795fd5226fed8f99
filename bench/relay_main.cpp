// The yardstick: the least that carries a TCP connection over TLS 1.3. Two of these make a pair,
//
//   source -> bench-relay --role client == TLS 1.3 == bench-relay --role server -> sink
//
// one thread per connection, 256 KiB per system call on either side, records sealed and opened in batches,
// one TLS connection for each TCP connection. No multiplexing, no resume, no policy, no accounting: whatever
// Culvert costs above this is the price of those. It seals with the same OpenSSL through the same TlsEngine,
// so that the difference is not the TLS. With --plain it carries bytes without TLS.
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "bench/sockets.hpp"
#include "certs/authority.hpp"
#include "tunnel-core/net/tls_engine.hpp"

namespace culvert::bench {
namespace {

constexpr const char* kUsage =
    "usage: bench-relay --role client|server --listen [IPV4:]PORT --to [IPV4:]PORT [--plain]\n"
    "Prints 'ready PORT' when it listens; port 0 takes any.";

struct Options {
  bool is_server = false;
  bool plain = false;
  Endpoint listen;
  Endpoint to;
};

Options parse_options(int argc, char** argv) {
  Options options;
  bool role = false;
  bool to = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--plain") {
      options.plain = true;
      continue;
    }
    if (++i == argc) fail(2, kUsage);
    const std::string_view value = argv[i];
    if (name == "--role" && (value == "client" || value == "server")) {
      options.is_server = value == "server";
      role = true;
    } else if (name == "--listen") {
      options.listen = parse_endpoint(value);
    } else if (name == "--to") {
      options.to = parse_endpoint(value);
      to = true;
    } else {
      fail(2, kUsage);
    }
  }
  if (!role || !to) fail(2, kUsage);
  return options;
}

template <class T>
T need(Result<T> result) {
  if (!result) fail(1, result.error().to_string());
  return std::move(result).value();
}

/// A self-made identity that nobody checks: only the cost is of interest.
TlsContext make_context(bool is_server) {
  const PeerVerifier anybody = [](X509*, STACK_OF(X509)*) { return Result<void>{}; };
  if (!is_server) return need(TlsContext::client({{}, {}, {}, anybody}));
  const auto now = certs::utc_now();
  const auto root = need(certs::Authority::create_root("bench", now));
  const auto issuer = need(certs::Authority::create_issuing(root, certs::Purpose::Server, now));
  const auto key = need(certs::PrivateKey::generate());
  const std::string name = "localhost";
  const auto leaf = need(issuer.issue_server({&name, 1}, key.public_key(), now));
  return need(TlsContext::server(
      {certs::chain_to_pem(issuer.chain_below(leaf)), std::string{key.to_pem().view()}, {}}));
}

/// Up to one block of bytes on its way to a socket.
class Block {
 public:
  Block() : bytes_(std::make_unique_for_overwrite<std::byte[]>(kBlock)) {}

  bool empty() const { return head_ == tail_; }
  MutableByteSpan room() { return {bytes_.get() + tail_, kBlock - tail_}; }
  ByteSpan filled() const { return {bytes_.get() + head_, tail_ - head_}; }
  void fill(std::size_t n) { tail_ += n; }
  void drain(std::size_t n) {
    head_ += n;
    if (empty()) head_ = tail_ = 0;
  }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
};

enum class End { Open, Finished, Broken };

/// One side of a relay on a plain socket.
class PlainSide {
 public:
  explicit PlainSide(int fd) : fd_(fd) {}

  End read_into(Block& block) {
    const ssize_t n = ::recv(fd_, block.room().data(), block.room().size(), MSG_DONTWAIT);
    if (n > 0) block.fill(static_cast<std::size_t>(n));
    if (n == 0) return End::Finished;
    return n < 0 && errno != EAGAIN && errno != EINTR ? End::Broken : End::Open;
  }

  bool write_from(Block& block) {
    const ssize_t n = ::send(fd_, block.filled().data(), block.filled().size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) block.drain(static_cast<std::size_t>(n));
    return n >= 0 || errno == EAGAIN || errno == EINTR;
  }

  bool flush() { return true; }
  bool unsent() const { return false; }
  bool has_input() const { return false; }
  void finish() { ::shutdown(fd_, SHUT_WR); }
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// One side of a relay on a TLS connection.
class TlsSide {
 public:
  TlsSide(int fd, TlsContext context) : fd_(fd), engine_(fd, std::move(context)) {
    engine_.use_bulk_buffers();
  }

  bool handshake() {
    for (;;) {
      switch (engine_.handshake()) {
        case HandshakeOutcome::Done:
          return true;
        case HandshakeOutcome::Failed:
          return false;
        case HandshakeOutcome::WaitReadable:
          wait(POLLIN);
          break;
        case HandshakeOutcome::WaitWritable:
          wait(POLLOUT);
          break;
      }
    }
  }

  /// As many records as there are and fit, so that they leave in one send.
  End read_into(Block& block) {
    while (block.room().size() >= kMaxRecordPlaintext) {
      const ReadOutcome outcome = engine_.read_some(block.room());
      if (outcome.kind == ReadOutcome::Kind::Closed) return End::Finished;
      if (outcome.kind == ReadOutcome::Kind::Failed) return End::Broken;
      if (outcome.kind == ReadOutcome::Kind::WouldBlock) break;
      block.fill(outcome.n);
    }
    return End::Open;
  }

  bool write_from(Block& block) {
    while (!block.empty()) {
      const ByteSpan record = block.filled().first(std::min(block.filled().size(), kMaxRecordPlaintext));
      if (!engine_.seal(record)) return false;
      block.drain(record.size());
    }
    return flush();
  }

  bool flush() { return engine_.flush() != FlushOutcome::Failed; }
  bool unsent() const { return engine_.unsent() != 0; }
  /// Bytes read ahead, which make no socket readable.
  bool has_input() const { return engine_.wants_read_now(); }
  void finish() {
    engine_.seal_close();
    engine_.flush();
  }
  int fd() const { return fd_; }

 private:
  void wait(short events) const {
    pollfd waits{fd_, events, 0};
    ::poll(&waits, 1, -1);
  }

  int fd_;
  TlsEngine engine_;
};

/// Bytes from one side to the other.
template <class From, class To>
class Pump {
 public:
  Pump(From& from, To& to) : from_(from), to_(to) {}

  /// False: the connection is broken.
  bool turn() {
    if (to_.unsent() && !to_.flush()) return false;
    if (to_.unsent()) return true;  // Backpressure.
    if (!read_finished_ && block_.empty()) {
      const End end = from_.read_into(block_);
      if (end == End::Broken) return false;
      read_finished_ = end == End::Finished;
    }
    if (!block_.empty() && !to_.write_from(block_)) return false;
    if (read_finished_ && block_.empty() && !finished_) {
      to_.finish();
      finished_ = true;
    }
    return true;
  }

  bool finished() const { return finished_ && !to_.unsent(); }
  bool waits_for_reader() const { return !block_.empty() || to_.unsent(); }
  bool waits_for_writer() const { return !read_finished_ && !waits_for_reader(); }
  bool can_go_on() const { return waits_for_writer() && from_.has_input(); }

 private:
  From& from_;
  To& to_;
  Block block_;
  bool read_finished_ = false;
  bool finished_ = false;
};

template <class Near, class Far>
void relay(Near& near, Far& far) {
  Pump<Near, Far> there{near, far};
  Pump<Far, Near> back{far, near};
  while (!there.finished() || !back.finished()) {
    if (!there.turn() || !back.turn()) return;
    if (there.can_go_on() || back.can_go_on()) continue;
    const auto events = [](bool in, bool out) {
      return static_cast<short>((in ? POLLIN : 0) | (out ? POLLOUT : 0));
    };
    pollfd waits[2] = {{near.fd(), events(there.waits_for_writer(), back.waits_for_reader()), 0},
                       {far.fd(), events(back.waits_for_writer(), there.waits_for_reader()), 0}};
    ::poll(waits, 2, -1);
  }
}

void serve(const Options& options, const std::optional<TlsContext>& context, UniqueFd accepted) {
  const UniqueFd dialled = connect_to(options.to);
  if (!dialled) return;
  const int tls_fd = options.is_server ? accepted.value() : dialled.value();
  const int plain_fd = options.is_server ? dialled.value() : accepted.value();
  PlainSide plain{plain_fd};
  if (!context) {
    PlainSide other{tls_fd};
    return relay(plain, other);
  }
  TlsSide tls{tls_fd, *context};
  if (tls.handshake()) relay(plain, tls);
}

}  // namespace
}  // namespace culvert::bench

int main(int argc, char** argv) {
  using namespace culvert::bench;
  std::signal(SIGPIPE, SIG_IGN);
  const Options options = parse_options(argc, argv);
  std::optional<culvert::TlsContext> context;
  if (!options.plain) context = make_context(options.is_server);
  const culvert::UniqueFd listener = listen_on(options.listen);
  std::printf("ready %u\n", port_of(listener.value()));
  std::fflush(stdout);
  for (;;) {
    std::thread{serve, std::cref(options), std::cref(context), accept_one(listener.value())}.detach();
  }
}
