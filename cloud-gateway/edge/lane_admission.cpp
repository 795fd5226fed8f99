#include "cloud-gateway/edge/lane_admission.hpp"

#include <boost/asio/post.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/status.hpp>

#include "cloud-gateway/api/api_router.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/net/hello_proof.hpp"
#include "tunnel-core/net/websocket_framing.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

WallTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string switching_protocols(const LaneAdmission::Admitted& admitted, const Hello& answer) {
  std::string text = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
  if (admitted.carrier == Carrier::WebSocket) {
    text += "Upgrade: websocket\r\nSec-WebSocket-Accept: " + websocket_accept(admitted.websocket_key) +
            "\r\nSec-WebSocket-Protocol: culvert.1\r\n";
  } else {
    text += "Upgrade: culvert/1\r\n";
  }
  return text + "Culvert-Hello: " + to_hex(encode_hello(answer)) + "\r\n\r\n";
}

/// docs/protocol.md §3.1 and §3.4. @error UsageInvalid.
Result<Carrier> carrier_of(const LaneRequest& request) {
  using boost::beast::iequals;
  if (request.connection_upgrade && iequals(request.upgrade, "culvert/1")) return Carrier::Culvert;
  if (!request.connection_upgrade || !iequals(request.upgrade, "websocket")) {
    return Error{Errc::UsageInvalid, "a lane needs Connection: Upgrade and Upgrade: culvert/1 or websocket"};
  }
  if (request.websocket_version != "13" || !is_websocket_key(request.websocket_key)) {
    return Error{Errc::UsageInvalid, "a WebSocket needs Sec-WebSocket-Version: 13 and a Sec-WebSocket-Key"};
  }
  return Carrier::WebSocket;
}

/// The version of a HELLO that is not ours. Its first byte is all that other versions must have in common
/// with this one.
std::optional<unsigned> foreign_version(const LaneRequest& request) {
  const auto bytes = from_hex(request.hello_hex);
  if (!bytes || bytes->empty()) return std::nullopt;
  const auto version = std::to_integer<unsigned>(bytes->front());
  return version == kProtocolVersion ? std::nullopt : std::optional{version};
}

void refuse_on(TlsStream& stream, const Error& error, const std::string& request_id) {
  const std::string text = http_refusal(error_response(error, request_id));
  if (stream.engine().seal(as_bytes(text))) stream.engine().flush();
  stream.close();
}

}  // namespace

ApiResponse lane_refusal(const LaneRequest& request, const Error& error) {
  ApiResponse refusal = error_response(error, request.request_id);
  if (refusal.status == 400 && foreign_version(request))
    refusal.body["protocols"] = nlohmann::json::array({kProtocolVersion});
  return refusal;
}

std::string http_refusal(const ApiResponse& refusal) {
  namespace http = boost::beast::http;
  const std::string body = refusal.body_text();
  const std::string reason{http::obsolete_reason(http::int_to_status(static_cast<unsigned>(refusal.status)))};
  std::string text = "HTTP/1.1 " + std::to_string(refusal.status) + " " + reason +
                     "\r\nContent-Type: application/json\r\nConnection: close\r\n";
  for (const auto& [name, value] : refusal.headers) text += name + ": " + value + "\r\n";
  return text + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

Result<LaneAdmission::Admitted> LaneAdmission::judge(const LaneRequest& request, const TlsEngine& tls) const {
  if (request.bytes_behind) return Error{Errc::UsageInvalid, "bytes followed the request before its answer"};
  const auto carrier = carrier_of(request);
  if (!carrier) return carrier.error();
  const auto session = ApiRouter::session_of_path(request.path);
  if (!session) return session.error();
  const auto bytes = from_hex(request.hello_hex);
  if (!bytes) return Error{Errc::UsageInvalid, "the header Culvert-Hello is not hexadecimal"};
  if (const auto version = foreign_version(request)) {
    return Error{Errc::UsageInvalid, "protocol version " + std::to_string(*version) +
                                         " is not spoken here, only " + std::to_string(kProtocolVersion) +
                                         "; use releases of agent and gateway that fit"};
  }
  const auto hello = decode_hello(*bytes);
  if (!hello) return Error{Errc::UsageInvalid, hello.error().message()};
  const auto allowed = policy_.current()->authorise_site(request.identity, wall_now());
  if (!allowed) return allowed.error();
  auto entry = registry_.find(*session);
  if (!entry || entry->identity != request.identity.identity) {
    return Error{Errc::UnknownSession, "no such session of this site"};
  }
  const Proof expected = hello_proof(entry->secret, Role::Agent, tls, *session, hello->epoch, hello->lane);
  if (!proofs_equal(expected, hello->proof)) {
    return Error{Errc::Unauthorized, "the proof in Culvert-Hello does not fit this session and connection"};
  }
  return Admitted{*session, *hello, *entry, *carrier, request.websocket_key};
}

void LaneAdmission::hand_over(const Admitted& admitted, TlsStream::Detached connection,
                              std::string request_id) const {
  SessionShard& shard = *admitted.entry.shard;
  boost::asio::post(shard.thread().io(), [&shard, admitted, memory = session_memory_,
                                          request_id = std::move(request_id),
                                          connection = std::move(connection)]() mutable {
    auto attached = TlsStream::attach(shard.thread().io(), std::move(connection));
    if (!attached) {
      spdlog::warn("a lane could not join its thread: {}", attached.error().to_string());
      return;
    }
    std::unique_ptr<TlsStream> stream = std::move(*attached);
    GatewaySession* const session = shard.find(admitted.session);
    if (session == nullptr || session->driver().session().ended()) {
      return refuse_on(*stream, {Errc::UnknownSession, "the session has ended"}, request_id);
    }
    stream->engine().use_bulk_buffers();  // With ALPN http/1.1 it was a stranger's connection until now.
    const Hello& hello = admitted.hello;
    const Session& lanes = session->driver().session();
    // A higher epoch replaces the lanes there are; only one more beside them can be too many.
    if (hello.epoch == lanes.epoch() && lanes.lane_count() >= session->lane_ceiling()) {
      return refuse_on(*stream, {Errc::LaneLimitReached, "the session has all the lanes its org may have"},
                       request_id);
    }
    Hello answer{kProtocolVersion, hello.epoch, hello.lane, memory, {}};
    answer.proof = hello_proof(admitted.entry.secret, Role::Gateway, stream->engine(), admitted.session,
                               hello.epoch, hello.lane);
    const auto added =
        session->driver().add_lane(hello.lane, hello.epoch, hello.replay_memory, stream,
                                   switching_protocols(admitted, answer), {}, admitted.carrier);
    if (!added) refuse_on(*stream, added.error(), request_id);
  });
}

}  // namespace culvert
