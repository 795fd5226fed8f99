// Two TlsEngines with a wire between them that a test can look at, cut up and break off.
//
//   client engine <-> socket pair <-> carry() <-> socket pair <-> server engine
#pragma once

#include <string>

#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/net/tls_engine.hpp"

namespace culvert::test {

/// Both ends of a connected, non-blocking stream socket pair.
struct SocketPair {
  SocketPair();
  UniqueFd ours;
  UniqueFd wire;
};

class EngineLink {
 public:
  EngineLink(TlsContext client_context, TlsContext server_context, TlsLimits limits = {});

  /// Until both ends are done or one has failed; true when both are done.
  bool handshake();
  /// Carries what lies on the wire to the other side. @return bytes carried.
  std::size_t carry_to_server();
  std::size_t carry_to_client();
  /// Carries at most `largest` bytes, no more than 64 KiB.
  std::size_t carry_piece_to_server(std::size_t largest) {
    return carry_piece(client_pair_, server_pair_, largest);
  }
  /// The server sees the end of the TCP stream.
  void cut_towards_server();
  /// Puts raw bytes before the server.
  void inject_to_server(ByteSpan bytes);

 private:
  static std::size_t carry_piece(SocketPair& from, SocketPair& to, std::size_t largest);

  SocketPair client_pair_;
  SocketPair server_pair_;

 public:
  TlsEngine client;
  TlsEngine server;
};

/// Bytes that differ from place to place.
Bytes pattern(std::size_t size, unsigned seed = 1);
/// Everything `engine` has to read now. Fails the test when it is in an error.
Bytes read_all(TlsEngine& engine);
/// Seals and flushes completely; the wire must be able to take it.
void send(TlsEngine& engine, ByteSpan bytes);

}  // namespace culvert::test
