// The records of a lane, once OpenSSL has done its handshake: sealed from where the frame lies into the
// output buffer, opened from the input buffer into the slab, no copy of plaintext in between. libssl copies
// each byte twice in either direction, which is a tenth of what it costs to move it
// (docs/adr/0012-records-of-our-own.md).
//
//   recv(256 KiB) -> TlsTransport input -> open -> slab       slab -> seal -> TlsTransport output -> send
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/net/openssl_handles.hpp"
#include "tunnel-core/net/tls_transport.hpp"
#include "tunnel-core/net/traffic_key.hpp"

namespace culvert {

/// The most plaintext one TLS record carries; a frame is never larger (docs/protocol.md, frames).
inline constexpr std::size_t kMaxRecordPlaintext = 16384;

/// Tests lower these; the defaults are the policy.
struct TlsLimits {
  /// Records sealed with one key. AES-GCM keys wear out at 2^24.5 full records (RFC 8446 §5.5).
  std::uint64_t records_per_key = std::uint64_t{1} << 22;
  /// The peer may send this many messages after the handshake (key updates, tickets)...
  std::uint64_t peer_message_allowance = 8;
  /// ...and one more for every so many records received.
  std::uint64_t records_per_peer_message = std::uint64_t{1} << 16;
};

struct TlsCounters {
  std::uint64_t records_received = 0;
  std::uint64_t key_updates_sent = 0;
  std::uint64_t peer_messages = 0;  ///< After the handshake: key updates, tickets.

  bool flooded(const TlsLimits& limits) const {
    return peer_messages > limits.peer_message_allowance + records_received / limits.records_per_peer_message;
  }
};

struct ReadOutcome {
  enum class Kind {
    Data,        ///< n bytes of one record.
    WouldBlock,  ///< No whole record is there; wait until the socket is readable.
    Closed,      ///< The peer ended TLS orderly (close_notify).
    Failed,      ///< The engine's last_error() says why. A cut without close_notify is a failure.
  };
  Kind kind;
  std::size_t n = 0;
};

/// The two secrets that protect what comes after the handshake.
struct TrafficSecrets {
  TrafficSecret client;
  TrafficSecret server;
};

/// For SSL_CTX_set_keylog_callback, OpenSSL's way of telling the secrets; goes to keep_traffic_secrets_in().
void note_traffic_secret(const SSL* ssl, const char* line);
/// Where the secrets of this connection go. `slot` outlives the SSL's last handshake call.
void keep_traffic_secrets_in(SSL* ssl, TrafficSecrets* slot);

class TlsRecords {
 public:
  /// @param is_client  clients may be sent tickets, which are passed over.
  /// @param transport, counters  outlive this object.
  TlsRecords(TrafficKey write, TrafficKey read, bool is_client, TlsTransport& transport,
             const TlsLimits& limits, TlsCounters& counters);
  /// Right after the handshake, before any other record: nothing has been sealed with these secrets yet.
  /// @return null when the cipher suite is none of ours, or OpenSSL fails: libssl goes on then.
  static std::unique_ptr<TlsRecords> take_over(SSL* ssl, const TrafficSecrets& secrets,
                                               TlsTransport& transport, const TlsLimits& limits,
                                               TlsCounters& counters);

  /// As TlsEngine::read_some(). When it says Failed, OpenSSL's error queue has the reason unless the
  /// transport or the counters know it.
  ReadOutcome read_some(MutableByteSpan out);
  bool wants_read_now() const;
  /// As TlsEngine::seal(). False when OpenSSL fails.
  bool seal(ByteSpan content);
  void seal_close();

 private:
  std::optional<ReadOutcome> open_record(std::size_t size, MutableByteSpan out);
  std::optional<ReadOutcome> take_alert(ByteSpan content);
  std::optional<ReadOutcome> take_handshake(ByteSpan content);
  bool take_message(std::uint8_t type, ByteSpan body, bool last);
  ReadOutcome serve_rest(MutableByteSpan out);
  ReadOutcome refuse(int reason, std::uint8_t alert);
  bool seal_record(RecordType type, ByteSpan content);
  bool update_write_key();

  TrafficKey write_;
  TrafficKey read_;
  const bool is_client_;
  TlsTransport& transport_;
  const TlsLimits limits_;
  TlsCounters& counters_;
  ByteSpan rest_;                ///< Of a record that was longer than the caller's buffer; in the input.
  std::size_t rest_record_ = 0;  ///< Size of that record, taken from the input when all of it is served.
  Bytes messages_;               ///< The beginning of a handshake message that ends in a later record.
  unsigned empty_records_ = 0;   ///< In a row.
  bool update_asked_ = false;
};

}  // namespace culvert
