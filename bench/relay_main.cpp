// The yardstick: the least that carries a TCP connection over TLS 1.3. Two of these make a pair,
//
//   source -> bench-relay --role client == TLS 1.3 == bench-relay --role server -> sink
//
// one blocking thread per connection, 256 KiB per system call on either side, records sealed and opened in
// batches, AES-128-GCM by the same OpenSSL as Culvert's, one TLS connection for each TCP connection. No
// multiplexing, no resume, no policy, no accounting: whatever Culvert costs above this is the price of those.
// With --plain it carries bytes without TLS.
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>

#include "bench/relay_tls.hpp"

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
class SealedSide {
 public:
  explicit SealedSide(TlsSide& tls) : tls_(tls) {}

  /// As many records as there are and fit, so that they leave in one send.
  End read_into(Block& block) {
    while (block.room().size() >= kRecord) {
      std::size_t n = 0;
      switch (tls_.read_record(block.room(), n)) {
        case TlsSide::Outcome::Data:
          block.fill(n);
          break;
        case TlsSide::Outcome::WouldBlock:
          return End::Open;
        case TlsSide::Outcome::Closed:
          return End::Finished;
        case TlsSide::Outcome::Failed:
          return End::Broken;
      }
    }
    return End::Open;
  }

  bool write_from(Block& block) {
    if (!tls_.seal(block.filled())) return false;
    block.drain(block.filled().size());
    return flush();
  }

  bool flush() { return tls_.flush(); }
  bool unsent() const { return tls_.unsent(); }
  bool has_input() const { return tls_.has_input(); }
  void finish() {
    tls_.seal_close();
    tls_.flush();
  }
  int fd() const { return tls_.fd(); }

 private:
  static constexpr std::size_t kRecord = 16384;

  TlsSide& tls_;
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

void serve(const Options& options, SSL_CTX* context, UniqueFd accepted) {
  const UniqueFd dialled = connect_to(options.to);
  if (!dialled) return;
  const int tls_fd = options.is_server ? accepted.value() : dialled.value();
  const int plain_fd = options.is_server ? dialled.value() : accepted.value();
  PlainSide plain{plain_fd};
  if (context == nullptr) {
    PlainSide other{tls_fd};
    return relay(plain, other);
  }
  TlsSide tls{tls_fd, context, options.is_server};
  if (!tls.handshake()) return;
  SealedSide sealed{tls};
  relay(plain, sealed);
}

}  // namespace
}  // namespace culvert::bench

int main(int argc, char** argv) {
  using namespace culvert::bench;
  std::signal(SIGPIPE, SIG_IGN);
  const Options options = parse_options(argc, argv);
  const culvert::SslContextPtr context = options.plain ? nullptr : make_relay_context(options.is_server);
  const culvert::UniqueFd listener = listen_on(options.listen);
  std::printf("ready %u\n", port_of(listener.value()));
  std::fflush(stdout);
  for (;;) {
    std::thread{serve, std::cref(options), context.get(), accept_one(listener.value())}.detach();
  }
}
