// What lies between OpenSSL and the socket: a BIO that reads ahead and gathers sealed records, so that one
// system call moves many records in either direction. Knows nothing of TLS.
//
//   recv(256 KiB) -> input -> SSL_read        SSL_write -> output -> send(everything)
//
// TlsRecords works on the two buffers themselves: input() and take(), prepare_output() and commit_output().
//
// OpenSSL's own read-ahead is not used: libssl 3.0 moves all buffered bytes to the front for every record.
#pragma once

#include <openssl/bio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "tunnel-core/base/bytes.hpp"

namespace culvert {

enum class FlushOutcome {
  Done,        ///< Nothing is left to send.
  WouldBlock,  ///< The kernel took what it could; wait until the socket is writable.
  Failed,
};

enum class ReceiveOutcome {
  Received,    ///< input() has grown.
  WouldBlock,  ///< Wait until the socket is readable.
  Failed,      ///< end_of_stream() or read_errno() says why.
};

class TlsTransport {
 public:
  /// @param fd  a connected TCP socket, not owned. Blocking or not: every call uses MSG_DONTWAIT.
  explicit TlsTransport(int fd) : fd_(fd) {}
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;

  /// A BIO for SSL_set_bio, which points here and does not own this object.
  BIO* make_bio();

  /// One send of everything in the output buffer.
  FlushOutcome flush();
  std::size_t unsent() const { return output_tail_ - output_head_; }
  /// Bytes received from the kernel that OpenSSL has not taken.
  std::size_t unread() const { return input_tail_ - input_head_; }
  std::uint64_t bytes_received() const { return bytes_received_; }
  std::uint64_t bytes_sent() const { return bytes_sent_; }

  /// What has been received and not taken. Valid until the next receive_more().
  MutableByteSpan input() { return {input_.get() + input_head_, unread()}; }
  ByteSpan input() const { return {input_.get() + input_head_, unread()}; }
  void take(std::size_t n) { input_head_ += n; }
  /// One recv behind what is there.
  ReceiveOutcome receive_more();
  /// The latest receive_more() brought all that the kernel had, and too little for a bulk stream to be
  /// coming.
  bool took_little() const { return took_little_; }
  /// Room for `size` bytes behind what waits to be sent; commit_output() says how many of them count.
  std::byte* prepare_output(std::size_t size);
  void commit_output(std::size_t n) { output_tail_ += n; }

  /// Bytes asked from the kernel at a time, in force when the input buffer is next empty.
  void set_read_ahead(std::size_t bytes) { read_ahead_ = bytes; }
  /// From now on OpenSSL gets no more input: every read fails at once.
  void refuse_input() { refused_ = true; }
  /// Frees the buffers that are empty; they come back with the next byte.
  void release_idle_memory();

  bool end_of_stream() const { return end_of_stream_; }
  int read_errno() const { return read_errno_; }
  int write_errno() const { return write_errno_; }
  /// The first bytes of the connection, at most eight, for telling HTTP from TLS.
  std::string_view first_bytes() const { return {first_bytes_.data(), first_bytes_size_}; }

 private:
  friend struct TlsTransportBio;

  int read(std::byte* out, std::size_t size, bool& would_block);
  std::size_t receive(std::byte* out, std::size_t size, bool& would_block);
  void append(const std::byte* bytes, std::size_t size);
  void make_room(std::size_t size);
  void note_first_bytes(const std::byte* bytes, std::size_t size);

  int fd_;
  int read_errno_ = 0;
  int write_errno_ = 0;
  bool end_of_stream_ = false;
  bool refused_ = false;
  bool took_little_ = false;

  std::unique_ptr<std::byte[]> input_;
  std::size_t input_capacity_ = 0;
  std::size_t input_head_ = 0;
  std::size_t input_tail_ = 0;
  std::size_t read_ahead_ = 4096;  ///< Small until a peer is known: guarantee G4 bounds strangers.

  std::unique_ptr<std::byte[]> output_;
  std::size_t output_capacity_ = 0;
  std::size_t output_head_ = 0;
  std::size_t output_tail_ = 0;

  std::uint64_t bytes_received_ = 0;
  std::uint64_t bytes_sent_ = 0;
  std::array<char, 8> first_bytes_{};
  std::size_t first_bytes_size_ = 0;
};

}  // namespace culvert
