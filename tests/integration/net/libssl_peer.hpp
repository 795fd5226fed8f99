// A lane's client that is libssl alone, as somebody else's agent would be, with the means to lie: its traffic
// secret can be had for sealing records that libssl would never send.
#pragma once

#include <string>

#include "tests/integration/net/engine_link.hpp"
#include "tunnel-core/net/openssl_handles.hpp"
#include "tunnel-core/net/tls_engine.hpp"
#include "tunnel-core/net/tls_records.hpp"

namespace culvert::test {

class LibsslPeer {
 public:
  struct Options {
    const char* suite = "TLS_AES_128_GCM_SHA256";
    std::size_t padding = 0;  ///< Records are padded to a multiple of this.
    TlsLimits limits{};       ///< Of the engine under test.
  };
  LibsslPeer() : LibsslPeer(Options{}) {}
  explicit LibsslPeer(const Options& options);

  /// The REQUIREs are inside: both ends are done afterwards.
  void handshake();
  void write(ByteSpan bytes);
  /// Everything that has come.
  Bytes read();
  SSL* ssl() { return ssl_.get(); }

  /// A record with any inner type, under the client's key. Not together with write().
  Bytes forge(RecordType type, ByteSpan content);
  void send_raw(ByteSpan bytes);

 private:
  SocketPair pair_;
  TrafficSecrets secrets_;
  SslContextPtr context_;
  SslPtr ssl_;
  std::optional<TrafficKey> forging_key_;

 public:
  TlsEngine engine;  ///< The server under test.
};

}  // namespace culvert::test
