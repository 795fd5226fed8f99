// Makes one lane: TCP to the gateway (every address of its name, or through a proxy), TLS with the site's
// certificate or proof, HELLO in the upgrade. Where one way is blocked, another is tried within the same
// dial.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "tunnel-agent/lane_route.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/net/tls_stream.hpp"
#include "tunnel-core/wire/hello.hpp"

namespace culvert {

struct LaneDial {
  std::string host;  ///< Whom to reach: a name or an address.
  std::uint16_t port = 443;
  std::string
      server_name;  ///< SNI; the certificate is judged by the context's verifier against the gateway's URL.
  SessionId session{};
  Bytes secret;
  std::uint32_t epoch = 0;
  LaneId lane{};
  ByteCount replay_memory{};
  Duration timeout = 10s;  ///< For all of it.
  /// Asked once more before the gateway is: its answer to a newer epoch ends the lanes of older ones.
  std::function<bool()> wanted = [] { return true; };
};

struct DialedLane {
  std::unique_ptr<TlsStream> stream;
  ByteCount peer_replay{};
  Bytes leftover;  ///< What came right behind the 101, as the carrier has it.
  Carrier carrier = Carrier::Culvert;
};

/// @error NameUnresolved, ConnectionRefused, Unreachable, TimedOut; those of TLS; UnknownSession (404),
/// EpochInvalid
///        (409), Unauthorized (401, 403), LaneLimitReached (429), ShuttingDown (503), ReplyInvalid (not a
///        gateway, or a broken proof); ProxyUnauthorized, ProxyRefused.
/// @param route  outlives the dial.
boost::asio::awaitable<Result<DialedLane>> dial_lane(boost::asio::io_context& io, LaneRoute& route,
                                                     LaneDial dial);

}  // namespace culvert
