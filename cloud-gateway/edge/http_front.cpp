#include "cloud-gateway/edge/http_front.hpp"

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

std::string address_text(const tcp::socket& socket) {
  error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  return error ? std::string{"unknown"} : endpoint.address().to_string();
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
  Connection(tcp::socket socket, TlsContext tls)
      : peer(address_text(socket)), stream(std::move(socket), std::move(tls)) {}

  const std::string peer;
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
  if (closed_ || connections_.size() >= config_.connections) {
    error_code ignored;
    socket.close(ignored);
    return;
  }
  auto connection = std::make_shared<Connection>(std::move(socket), tls_);
  connections_.insert(connection);
  tasks_.spawn(run(connection));
}

void HttpFront::close() {
  closed_ = true;
  for (const ConnectionPtr& connection : connections_) connection->stream.close();
}

asio::awaitable<void> HttpFront::run(ConnectionPtr connection) {
  const bool trusted = co_await handshake(connection);
  bool again = trusted;
  while (again && !closed_) again = co_await serve_request(connection);
  connections_.erase(connection);
}

asio::awaitable<bool> HttpFront::handshake(ConnectionPtr connection) {
  TlsStream& stream = connection->stream;
  Deadline deadline{io_.get_executor(), config_.handshake_timeout,
                    [connection] { connection->stream.abort(); }};
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await stream.async_handshake(token);
  if (error) {
    const Error why = deadline.expired() ? Error{Errc::TimedOut, "the handshake took longer than 10 s"}
                                         : stream.last_error();
    if (const auto left_out = failed_handshakes_.admit(std::chrono::steady_clock::now())) {
      const std::string more =
          *left_out == 0 ? "" : " (" + std::to_string(*left_out) + " more like it were not logged)";
      spdlog::info("peer={} TLS handshake failed reason={}: {}{}", connection->peer, errc_name(why.code()),
                   why.message(), more);
    }
    stream.close();
    co_return false;
  }
  connection->identity = identity_of(stream.engine());
  co_return true;
}

asio::awaitable<ApiResponse> HttpFront::ask_router(ApiRequest request) {
  auto work = [this, request = std::move(request)] { return router_.handle(request); };
  co_return co_await run_blocking(control_, std::move(work));
}

/// One request and its answer. False: the connection is finished, or on its way to become a lane.
asio::awaitable<bool> HttpFront::serve_request(ConnectionPtr connection) {
  const Duration patience = connection->requests == 0 ? config_.request_timeout : config_.idle_timeout;
  Deadline deadline{io_.get_executor(), patience, [connection] { connection->stream.close(); }};
  HttpRequestParser parser;
  limit_request(parser);
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await http::async_read(connection->stream, connection->buffer, parser, token);
  const bool too_large = error == http::error::body_limit;
  if (error && !too_large) {
    if (!deadline.expired() && !closed_) refuse_broken(*connection, error);
    connection->stream.close();
    co_return false;
  }
  ++connection->requests;
  auto identity = identify(*connection, parser.get());
  if (!identity) {
    refuse(*connection, http_status(identity.error().code()), identity.error());
    co_return false;
  }
  if (*identity && asks_for_lane(parser.get())) {
    offer_lane(*connection, parser.get(), **identity);
    co_return false;
  }
  const bool keep_alive = parser.get().keep_alive() && !too_large && !closed_;
  ApiRequest request = api_request(parser.get(), too_large, connection->peer, *identity, new_request_id());
  const std::string request_id = request.request_id;
  const ApiResponse answer = co_await ask_router(std::move(request));
  http::response<http::string_body> response = form_response(answer, request_id, keep_alive);
  co_await http::async_write(connection->stream, response, token);
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

void HttpFront::refuse(Connection& connection, int status, const Error& error) {
  const std::string request_id = new_request_id();
  spdlog::info("peer={} refused request={} reason={}: {}", connection.peer, request_id,
               errc_name(error.code()), error.message());
  say_last(connection, http_refusal(status, error, request_id));
  connection.stream.close();
}

/// A client that leaves between requests, with or without close_notify, is nothing to talk about.
void HttpFront::refuse_broken(Connection& connection, const error_code& error) {
  const bool left = error == http::error::end_of_stream || connection.buffer.size() == 0;
  if (left) return;
  spdlog::info("peer={} sent no valid HTTP request: {}", connection.peer, error.message());
  const Error why{Errc::UsageInvalid, "this is not a valid HTTP/1.1 request: " + error.message()};
  say_last(connection, http_refusal(400, why, new_request_id()));
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
  spdlog::info("peer={} org={} site={} lane refused request={} reason={}: {}", connection.peer,
               request.identity.identity.org, request.identity.identity.site, request_id,
               errc_name(error.code()), error.message());
  say_last(connection, http_refusal(http_status(error.code()), error, request_id));
  connection.stream.close();
}

}  // namespace culvert
