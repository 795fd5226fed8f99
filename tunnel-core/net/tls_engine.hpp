// TLS on a non-blocking socket without Asio: what a lane drives. Never blocks, never waits, allocates nothing
// per record. TlsStream adds the waiting; tls_transport.hpp explains the buffers, tls_records.hpp who seals.
//
// Rules for the caller: after read_some() look at unsent(), because a read can cause a write (alerts, answers
// to key updates); a flush that failed leaves reading possible, and the peer's last words often say why.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/net/openssl_handles.hpp"
#include "tunnel-core/net/tls_context.hpp"
#include "tunnel-core/net/tls_records.hpp"
#include "tunnel-core/net/tls_transport.hpp"

namespace culvert {

/// What a lane asks from the kernel at a time.
inline constexpr std::size_t kLaneReadAhead = 256 * 1024;

enum class HandshakeOutcome { Done, WaitReadable, WaitWritable, Failed };

class TlsEngine {
 public:
  /// @param fd  connected TCP socket; not owned, outlives the engine's last call.
  TlsEngine(int fd, TlsContext context, TlsLimits limits = {});
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  /// Name sent as SNI, before the handshake. An IP address literal is not sent (RFC 6066 §3).
  void set_server_name(const std::string& name);
  /// One step of the handshake, flushed. Repeat until Done or Failed. Once `culvert/1` is agreed on,
  /// read-ahead becomes kLaneReadAhead, and TlsRecords takes the records over from libssl.
  HandshakeOutcome handshake();
  bool handshake_done() const { return handshake_done_; }

  /// One SSL_read: at most one record, and at most one recv of read-ahead. `out` is not empty; a buffer of
  /// kMaxRecordPlaintext always takes a whole record, the rest of a longer one comes with the next call.
  ReadOutcome read_some(MutableByteSpan out);
  /// True when read_some() has something to work on without the socket becoming readable.
  bool wants_read_now() const;
  /// True when read_some() would most likely find nothing: the latest recv took all there was, and that was
  /// little. Waiting for readiness costs no more than asking again, and is what would follow.
  bool is_drained() const;

  /// Seals 1 to kMaxRecordPlaintext bytes as exactly one record into the output buffer; nothing is sent yet.
  /// The bytes are not needed afterwards. Updates our key when it is due.
  /// @error TlsFailed, or what ended the connection earlier.
  Result<void> seal(ByteSpan plaintext);
  /// One send of all sealed records.
  FlushOutcome flush();
  std::size_t unsent() const { return transport_.unsent(); }

  /// Queues close_notify, once. Best effort: nothing more can be sealed afterwards.
  void seal_close();

  /// Every byte that ever came from the socket, of whatever kind: any is a sign of life.
  std::uint64_t bytes_received() const { return transport_.bytes_received(); }
  std::uint64_t bytes_sent() const { return transport_.bytes_sent(); }
  std::uint64_t records_received() const { return counters_.records_received; }
  std::uint64_t key_updates_sent() const { return counters_.key_updates_sent; }
  /// Messages after the handshake: key updates and tickets.
  std::uint64_t peer_messages_received() const { return counters_.peer_messages; }

  /// Why the last operation failed; the peer's words before our own write error.
  /// Errors: the PeerVerifier's own; Unauthorized (the peer refused our certificate; TLS 1.3 clients learn it
  /// with their first read), IoFailed, TimedOut, TlsFailed.
  Error last_error() const;

  /// 32 bytes that only the two ends of this connection know (RFC 8446 §7.5, empty context). After the
  /// handshake.
  std::array<std::byte, 32> exporter(std::string_view label) const;
  /// `culvert/1`, `http/1.1`, or empty. `culvert/1` at a server means that the client's certificate passed.
  std::string_view selected_alpn() const;
  /// The peer's leaf, or null. Valid as long as the engine.
  X509* peer_certificate() const;

  /// Trades memory for speed: kLaneReadAhead at a time, and OpenSSL keeps its two record buffers between
  /// records, which saves 8 % of its CPU time. Happens by itself for `culvert/1`; G4 forbids it for
  /// strangers.
  void use_bulk_buffers();
  /// Frees every buffer that is empty now. For lanes that have been quiet for a while.
  void release_idle_memory();

 private:
  static void on_message(int written, int version, int content_type, const void* bytes, std::size_t size,
                         SSL* ssl, void* engine);
  void count_message(int content_type);
  Result<void> check_agreement() const;
  void become_lane();
  ReadOutcome read_by_libssl(MutableByteSpan out);
  bool seal_by_libssl(ByteSpan plaintext);
  void update_key_when_due();
  void fail(std::string_view doing);

  TlsContext context_;
  TlsLimits limits_;
  TlsTransport transport_;
  SslPtr ssl_;
  X509Ptr peer_certificate_;
  std::optional<Error> verification_error_;
  std::optional<Error> read_error_;
  std::uint64_t records_with_key_ = 0;  ///< Of libssl.
  TlsCounters counters_;
  TrafficSecrets secrets_;  ///< Only until the handshake is done.
  std::unique_ptr<TlsRecords> records_;
  bool handshake_done_ = false;
  bool peer_closed_ = false;
  bool close_sealed_ = false;
};

}  // namespace culvert
