// Decides over one request for a lane and hands it to the thread that owns its session (docs/adr/0003).
// Refusals are plain HTTP codes (docs/rest-api.md §4).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cloud-gateway/api/api_message.hpp"
#include "cloud-gateway/control/policy.hpp"
#include "cloud-gateway/data/session_registry.hpp"
#include "tunnel-core/net/lane_carrier.hpp"
#include "tunnel-core/net/tls_stream.hpp"
#include "tunnel-core/wire/hello.hpp"

namespace culvert {

/// A GET of /tunnel/v1/sessions/{id}/lanes, as values.
struct LaneRequest {
  std::string path;
  std::string upgrade;  ///< The Upgrade header.
  bool connection_upgrade = false;
  std::string websocket_key;      ///< Sec-WebSocket-Key.
  std::string websocket_version;  ///< Sec-WebSocket-Version.
  std::string hello_hex;          ///< The Culvert-Hello header.
  bool bytes_behind = false;      ///< Something followed the request: nobody may send before the 101.
  SiteCertificate identity;
  std::string request_id;
};

class LaneAdmission {
 public:
  LaneAdmission(SessionRegistry& registry, PolicyHub& policy, ByteCount session_memory)
      : registry_(registry), policy_(policy), session_memory_(session_memory) {}

  struct Admitted {
    SessionId session;
    Hello hello;
    SessionRegistry::Entry entry;
    Carrier carrier = Carrier::Culvert;
    std::string websocket_key;  ///< For Carrier::WebSocket.
  };

  /// Everything that can be judged on the accepting thread: form, identity, policy, session, proof.
  /// @error UsageInvalid, Unauthorized, AccessRevoked, UnknownSession, ShuttingDown.
  Result<Admitted> judge(const LaneRequest& request, const TlsEngine& tls) const;

  /// Moves the connection to its owner, which answers 101 or refuses (epoch, session gone, too
  /// many lanes).
  void hand_over(const Admitted& admitted, TlsStream::Detached connection, std::string request_id) const;

 private:
  SessionRegistry& registry_;
  PolicyHub& policy_;
  const ByteCount session_memory_;
};

/// What a lane's request is refused with: the error, and for a HELLO of another version the ones that are
/// spoken here (docs/protocol.md §4).
ApiResponse lane_refusal(const LaneRequest& request, const Error& error);

/// A whole HTTP/1.1 refusal with its headers and JSON body, after which the connection is closed.
std::string http_refusal(const ApiResponse& refusal);

}  // namespace culvert
