#include "cloud-gateway/edge/http_front.hpp"

#include <malloc.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "certs/certificate.hpp"
#include "certs/site_identity.hpp"
#include "certs/site_proof.hpp"
#include "tunnel-core/net/deadline.hpp"
#include "tunnel-core/net/run_blocking.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

/// TlsEngine begins so, and so does the log line.
constexpr std::string_view kHandshakeFailed = "TLS handshake failed: ";
constexpr std::size_t kMostRefusedLanes = 4096;  ///< Sites and reasons that are remembered.
constexpr Duration kRefusedLaneQuiet = 1min;
constexpr std::size_t kCrowd = 256;  ///< Connections whose going is worth a look at the heap.

/// 0.0.0.0 when it has gone already.
asio::ip::address address_of(const tcp::socket& socket) {
  error_code error;
  return socket.remote_endpoint(error).address();
}

/// Errors of a SiteJudge. Garbage and port scans give others.
bool is_about_certificate(Errc code) {
  return code != Errc::TlsFailed && code != Errc::IoFailed && code != Errc::TimedOut;
}

std::optional<SiteCertificate> identity_of(const TlsEngine& tls) {
  X509* const leaf = tls.peer_certificate();
  if (leaf == nullptr || tls.selected_alpn() != kTunnelAlpn) return std::nullopt;
  const auto certificate = certs::Certificate::share(leaf);
  auto identity = certs::SiteIdentity::of(certificate);
  if (!identity) return std::nullopt;
  return SiteCertificate{certificate.serial(), *identity};
}

http::response<http::string_body> form_response(const ApiResponse& answer, const std::string& request_id,
                                                bool keep_alive) {
  http::response<http::string_body> response{static_cast<http::status>(answer.status), 11};
  for (const auto& [name, value] : answer.headers) response.set(name, value);
  response.set("Culvert-Request-Id", request_id);
  response.keep_alive(keep_alive);
  response.body() = answer.body_text();
  if (!response.body().empty()) response.set(http::field::content_type, "application/json");
  response.prepare_payload();
  return response;
}

}  // namespace

struct HttpFront::Connection {
  Connection(tcp::socket socket, TlsContext tls, StrangerTable::Id stranger_id)
      : peer(address_of(socket).to_string()),
        began(std::chrono::steady_clock::now()),
        stranger(stranger_id),
        stream(std::move(socket), std::move(tls)) {}

  bool is_stranger() const { return stranger != 0; }

  const std::string peer;
  const std::chrono::steady_clock::time_point began;
  StrangerTable::Id stranger;  ///< 0: a site has shown itself.
  bool closed_for_another = false;
  TlsStream stream;
  boost::beast::flat_buffer buffer{kMaxHttpHead + kMaxApiBody};
  std::optional<SiteCertificate> identity;
  std::uint64_t requests = 0;
};

HttpFront::HttpFront(asio::io_context& io, asio::thread_pool& control, TlsContext tls, SiteJudge judge,
                     ApiRouter& router, const LaneAdmission& admission, const FrontConfig& config)
    : io_(io),
      control_(control),
      tls_(std::move(tls)),
      judge_(std::move(judge)),
      router_(router),
      admission_(admission),
      config_(config),
      tasks_(io.get_executor(), [](std::exception_ptr failure) {
        try {
          std::rethrow_exception(failure);
        } catch (const std::exception& error) {
          spdlog::error("a connection ended on an internal error: {}", error.what());
        }
      }) {}

void HttpFront::serve(tcp::socket socket) {
  if (closed_ || (connections_.size() >= config_.connections && !make_room())) {
    error_code ignored;
    socket.close(ignored);
    return;
  }
  const StrangerTable::Id id = strangers_.enter(address_of(socket));
  auto connection = std::make_shared<Connection>(std::move(socket), tls_, id);
  connections_.insert(connection);
  most_connections_ = std::max(most_connections_, connections_.size());
  stranger_connections_.emplace(id, connection);
  tasks_.spawn(run(connection));
}

/// False when nobody can be asked to leave.
bool HttpFront::make_room() {
  const auto id = strangers_.next_to_leave();
  if (const auto left_out = crowded_.admit(std::chrono::steady_clock::now())) {
    spdlog::warn("the gateway holds {} connections that are no lanes, its most; {}{}", connections_.size(),
                 id ? "the oldest stranger of the busiest address leaves for a new one"
                    : "all are of sites, and a new one is refused",
                 *left_out);
  }
  if (!id) return false;
  const ConnectionPtr leaving = stranger_connections_.at(*id).lock();
  note_known(*leaving);
  leaving->closed_for_another = true;
  leaving->stream.abort();
  connections_.erase(leaving);
  return true;
}

/// From now on nobody's newcomer takes its place.
void HttpFront::note_known(Connection& connection) {
  if (!connection.is_stranger()) return;
  strangers_.leave(connection.stranger);
  stranger_connections_.erase(connection.stranger);
  connection.stranger = 0;
}

void HttpFront::close() {
  closed_ = true;
  for (const ConnectionPtr& connection : connections_) connection->stream.close();
}

asio::awaitable<void> HttpFront::run(ConnectionPtr connection) {
  const bool trusted = co_await handshake(connection);
  bool again = trusted;
  while (again && !closed_) again = co_await serve_request(connection);
  note_known(*connection);
  connections_.erase(connection);
  give_back_memory();
}

/// What many handshakes at once took lies in small pieces all over the heap: without this the process would
/// stay as large as its worst minute.
void HttpFront::give_back_memory() {
  if (most_connections_ < kCrowd || connections_.size() > most_connections_ / 8) return;
  most_connections_ = 0;
  ::malloc_trim(0);
}

asio::awaitable<bool> HttpFront::handshake(ConnectionPtr connection) {
  TlsStream& stream = connection->stream;
  Deadline deadline{io_.get_executor(), config_.handshake_timeout,
                    [connection] { connection->stream.abort(); }};
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await stream.async_handshake(token);
  if (error && connection->closed_for_another) co_return false;
  if (error) {
    const Error why = deadline.expired() ? Error{Errc::TimedOut, "the handshake took longer than 10 s"}
                                         : stream.last_error();
    std::string_view text = why.message();
    if (text.starts_with(kHandshakeFailed)) text.remove_prefix(kHandshakeFailed.size());
    LogRation& ration = is_about_certificate(why.code()) ? refused_sites_ : failed_handshakes_;
    if (const auto left_out = ration.admit(std::chrono::steady_clock::now())) {
      spdlog::info("peer={} TLS handshake failed reason={}: {}{}", connection->peer, errc_name(why.code()),
                   text, *left_out);
    }
    stream.close();
    co_return false;
  }
  connection->identity = identity_of(stream.engine());
  if (connection->identity) note_known(*connection);
  co_return true;
}

asio::awaitable<ApiResponse> HttpFront::ask_router(ApiRequest request) {
  auto work = [this, request = std::move(request)] { return router_.handle(request); };
  co_return co_await run_blocking(control_, std::move(work));
}

/// For the next whole request.
Duration HttpFront::patience_with(const Connection& connection) const {
  const Duration patience = connection.requests == 0 ? config_.request_timeout : config_.idle_timeout;
  if (!connection.is_stranger()) return patience;
  const auto left = connection.began + config_.stranger_lifetime - std::chrono::steady_clock::now();
  return std::clamp(std::chrono::duration_cast<Duration>(left), Duration{}, patience);
}

/// One request and its answer. False: the connection is finished, or on its way to become a lane.
asio::awaitable<bool> HttpFront::serve_request(ConnectionPtr connection) {
  Deadline deadline{io_.get_executor(), patience_with(*connection),
                    [connection] { connection->stream.close(); }};
  HttpRequestParser parser;
  limit_request(parser);
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await http::async_read(connection->stream, connection->buffer, parser, token);
  const bool too_large = error == http::error::body_limit;
  if (error && !too_large) {
    if (!deadline.expired() && !closed_ && !connection->closed_for_another) refuse_broken(*connection, error);
    connection->stream.close();
    co_return false;
  }
  ++connection->requests;
  auto identity = identify(*connection, parser.get());
  if (!identity) {
    refuse(*connection, parser.get(), identity.error());
    co_return false;
  }
  if (*identity) note_known(*connection);
  if (*identity && asks_for_lane(parser.get())) {
    offer_lane(*connection, parser.get(), **identity);
    co_return false;
  }
  const bool keep_alive = parser.get().keep_alive() && !too_large && !closed_;
  const bool head = parser.get().method() == http::verb::head;
  ApiRequest request = api_request(parser.get(), too_large, connection->peer, *identity, new_request_id());
  const std::string request_id = request.request_id;
  const ApiResponse answer = co_await ask_router(std::move(request));
  http::response<http::string_body> response = form_response(answer, request_id, keep_alive);
  http::response_serializer<http::string_body> serializer{response};
  // A body behind the answer to HEAD would be taken for the next answer (RFC 9110 §9.3.2).
  if (head) {
    co_await http::async_write_header(connection->stream, serializer, token);
  } else {
    co_await http::async_write(connection->stream, serializer, token);
  }
  if (error || !keep_alive) {
    connection->stream.close();
    co_return false;
  }
  co_return true;
}

/// Who asks: by the certificate of the handshake, by the proof in the request, or nobody that is known.
/// @error Unauthorized: a proof that does not hold.
Result<std::optional<SiteCertificate>> HttpFront::identify(const Connection& connection,
                                                           const HttpRequest& message) const {
  const TlsEngine& tls = connection.stream.engine();
  const auto value =
      message[boost::beast::string_view{certs::kSiteProofHeader.data(), certs::kSiteProofHeader.size()}];
  if (connection.identity || value.empty() || tls.selected_alpn() == kTunnelAlpn) return connection.identity;
  auto chain = certs::open_site_proof({value.data(), value.size()}, tls.exporter(certs::kSiteProofExporter));
  if (!chain) return std::move(chain).error();
  const auto identity = judge_(*chain);
  if (!identity) {
    return Error{Errc::Unauthorized,
                 "the certificate in Culvert-Site-Proof is not accepted: " + identity.error().message()};
  }
  return std::optional{SiteCertificate{chain->front().serial(), *identity}};
}

void HttpFront::refuse(Connection& connection, const HttpRequest& message, const Error& error) {
  const std::string request_id = new_request_id();
  spdlog::info("peer={} refused request={} reason={}: {}", connection.peer, request_id,
               errc_name(error.code()), error.message());
  std::string refusal = http_refusal(error_response(error, request_id));
  if (message.method() == http::verb::head) refusal.resize(refusal.find("\r\n\r\n") + 4);
  say_last(connection, refusal);
  connection.stream.close();
}

/// A client that leaves between requests, with or without close_notify, is nothing to talk about.
void HttpFront::refuse_broken(Connection& connection, const error_code& error) {
  const bool left = error == http::error::end_of_stream || connection.buffer.size() == 0;
  if (left) return;
  spdlog::info("peer={} sent no valid HTTP request: {}", connection.peer, error.message());
  const Error why{Errc::UsageInvalid, "this is not a valid HTTP/1.1 request: " + error.message()};
  say_last(connection, http_refusal(error_response(why, new_request_id())));
}

void HttpFront::say_last(Connection& connection, const std::string& text) {
  TlsEngine& engine = connection.stream.engine();
  if (engine.seal(as_bytes(text))) engine.flush();
}

void HttpFront::offer_lane(Connection& connection, const HttpRequest& message,
                           const SiteCertificate& identity) {
  const std::string request_id = new_request_id();
  const bool bytes_behind = connection.buffer.size() > 0;
  const LaneRequest request = lane_request(message, bytes_behind, identity, request_id);
  const auto admitted = admission_.judge(request, connection.stream.engine());
  if (admitted) return admission_.hand_over(*admitted, connection.stream.detach(), request_id);
  const Error& error = admitted.error();
  note_refused_lane(connection, identity.identity, error, request_id);
  say_last(connection, http_refusal(lane_refusal(request, error)));
  connection.stream.close();
}

/// A site that was removed dials on: one line a minute for each site and reason.
void HttpFront::note_refused_lane(const Connection& connection, const certs::SiteIdentity& site,
                                  const Error& error, const std::string& request_id) {
  if (refused_lanes_.size() >= kMostRefusedLanes) refused_lanes_.clear();
  LogRation& ration =
      refused_lanes_.try_emplace({site.org, site.site, error.code()}, 1, kRefusedLaneQuiet).first->second;
  const auto left_out = ration.admit(std::chrono::steady_clock::now());
  if (!left_out) return;
  spdlog::info("peer={} org={} site={} lane refused request={} reason={}: {}{}", connection.peer, site.org,
               site.site, request_id, errc_name(error.code()), error.message(), *left_out);
}

}  // namespace culvert
