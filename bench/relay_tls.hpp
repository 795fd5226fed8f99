// The TLS side of the bare relay, straight on libssl and on nothing of the product's data path, so that the
// yardstick stays where it is when Culvert changes. TLS 1.3 with AES-128-GCM, no tickets; one recv of up to
// 256 KiB is opened record by record, and up to 256 KiB of records are sealed before one send.
#pragma once

#include <openssl/ssl.h>

#include <memory>

#include "bench/sockets.hpp"
#include "tunnel-core/net/openssl_handles.hpp"

namespace culvert::bench {

/// With a self-made identity that nobody checks: only the cost is of interest. Ends the program on failure.
SslContextPtr make_relay_context(bool is_server);

class TlsSide {
 public:
  enum class Outcome { Data, WouldBlock, Closed, Failed };

  /// @param fd  a connected socket, not owned.
  TlsSide(int fd, SSL_CTX* context, bool is_server);
  TlsSide(const TlsSide&) = delete;
  TlsSide& operator=(const TlsSide&) = delete;

  int fd() const { return fd_; }
  /// Blocks until it is over.
  bool handshake();
  /// Opens one record, or less when it does not fit; `n` bytes of it are in `out`.
  Outcome read_record(MutableByteSpan out, std::size_t& n);
  /// Seals up to 256 KiB into the output buffer, which is empty.
  bool seal(ByteSpan plaintext);
  /// One send of what is sealed; false when the connection failed.
  bool flush();
  bool unsent() const { return output_head_ != output_tail_; }
  /// Bytes read ahead make no socket readable: until a read has said WouldBlock there may be some.
  bool has_input() const { return !waits_for_input_; }
  void seal_close() { SSL_shutdown(ssl_.get()); }

 private:
  friend struct RelayBio;

  int fd_;
  SslPtr ssl_;
  std::unique_ptr<std::byte[]> input_;
  std::size_t input_head_ = 0;
  std::size_t input_tail_ = 0;
  std::unique_ptr<std::byte[]> output_;
  std::size_t output_head_ = 0;
  std::size_t output_tail_ = 0;
  bool waits_for_input_ = false;  ///< The socket is empty, and what has been read ahead is no whole record.
};

}  // namespace culvert::bench
