#include "tunnel-agent/lane_dialer.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/net/deadline.hpp"
#include "tunnel-core/net/hello_proof.hpp"
#include "tunnel-core/net/socket_options.hpp"

namespace culvert {
namespace {

namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr std::size_t kMaxReply = 64 * 1024;
/// One address that swallows packets must not use up the time of the others.
constexpr Duration kOneAddress = 3s;

Errc errc_of(const error_code& error) {
  if (error == asio::error::connection_refused) return Errc::ConnectionRefused;
  if (error == asio::error::timed_out || error == asio::error::operation_aborted) return Errc::TimedOut;
  return Errc::Unreachable;
}

Errc errc_of_status(unsigned status) {
  switch (status) {
    case 401:
    case 403:
      return Errc::Unauthorized;
    case 404:
      return Errc::UnknownSession;
    case 409:
      return Errc::EpochInvalid;
    case 429:
    case 503:
      return Errc::ShuttingDown;
    default:
      return status >= 500 ? Errc::ServerFailed : Errc::ReplyInvalid;
  }
}

/// The gateway's own sentence, where it gave one.
std::string reason_in(const std::string& body, unsigned status) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    return json["error"].value("message", "HTTP status " + std::to_string(status));
  }
  return "HTTP status " + std::to_string(status);
}

std::string request_text(const LaneDial& dial, const Proof& proof) {
  char id[17];
  std::snprintf(id, sizeof id, "%016llx", static_cast<unsigned long long>(dial.session.value));
  const Hello hello{kProtocolVersion, dial.epoch, dial.lane, dial.replay_memory, proof};
  return std::string{"GET /tunnel/v1/sessions/"} + id + "/lanes HTTP/1.1\r\nHost: " + dial.server_name +
         "\r\nConnection: Upgrade\r\nUpgrade: culvert/1\r\nCulvert-Hello: " + to_hex(encode_hello(hello)) +
         "\r\n\r\n";
}

/// Everything of one attempt that the deadline must be able to close.
struct Attempt {
  explicit Attempt(asio::io_context& io) : resolver(io), socket(io) {}
  tcp::resolver resolver;
  tcp::socket socket;
  std::unique_ptr<TlsStream> stream;
  bool closed = false;

  void close() {
    closed = true;
    error_code ignored;
    resolver.cancel();
    socket.close(ignored);
    if (stream) stream->abort();
  }
};

asio::awaitable<Result<void>> connect(asio::io_context& io, std::shared_ptr<Attempt> attempt, LaneDial dial) {
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  const auto found = co_await attempt->resolver.async_resolve(dial.host, std::to_string(dial.port), token);
  if (error) {
    co_return Error{Errc::NameUnresolved,
                    "the gateway's name " + dial.host + " does not resolve: " + error.message()};
  }
  for (const auto& entry : found) {
    if (attempt->closed) break;
    error_code ignored;
    attempt->socket.close(ignored);
    Deadline deadline{io.get_executor(), kOneAddress, [attempt] {
                        error_code closed;
                        attempt->socket.close(closed);
                      }};
    co_await attempt->socket.async_connect(entry.endpoint(), token);
    if (!error) co_return Result<void>{};
  }
  co_return Error{errc_of(error),
                  "no connection to the gateway " + dial.host + ":" + std::to_string(dial.port) + ": " +
                      (error == asio::error::operation_aborted ? "no answer" : error.message())};
}

/// Reads the answer to the upgrade; only a 101 with a valid proof makes a lane.
asio::awaitable<Result<DialedLane>> upgrade(std::shared_ptr<Attempt> attempt, LaneDial dial) {
  TlsStream& stream = *attempt->stream;
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  const Proof proof =
      hello_proof(dial.secret, Role::Agent, stream.engine(), dial.session, dial.epoch, dial.lane);
  const std::string request = request_text(dial, proof);
  std::size_t sent = 0;
  while (sent < request.size()) {
    sent +=
        co_await stream.async_write_some(asio::buffer(request.data() + sent, request.size() - sent), token);
    if (error) co_return stream.last_error();
  }
  boost::beast::flat_buffer buffer{kMaxReply};
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxReply / 2);
  co_await http::async_read_header(stream, buffer, parser, token);
  if (error) co_return stream.last_error();
  const unsigned status = parser.get().result_int();
  if (status != 101) {
    co_await http::async_read(stream, buffer, parser, token);
    co_return Error{errc_of_status(status),
                    "the gateway refused the lane: " + reason_in(parser.get().body(), status)};
  }
  const auto bytes = from_hex(std::string{parser.get()["Culvert-Hello"]});
  if (!bytes) co_return Error{Errc::ReplyInvalid, "the answer to the upgrade has no valid Culvert-Hello"};
  const auto answer = decode_hello(*bytes);
  if (!answer) co_return Error{Errc::ReplyInvalid, answer.error().message()};
  const Proof expected =
      hello_proof(dial.secret, Role::Gateway, stream.engine(), dial.session, dial.epoch, dial.lane);
  if (answer->epoch != dial.epoch || answer->lane != dial.lane || !proofs_equal(expected, answer->proof)) {
    co_return Error{Errc::ReplyInvalid,
                    "the other end could not prove that it is the gateway of this session"};
  }
  const auto rest = buffer.data();
  const auto* const first = static_cast<const std::byte*>(rest.data());
  co_return DialedLane{std::move(attempt->stream), answer->replay_memory, Bytes(first, first + rest.size())};
}

}  // namespace

asio::awaitable<Result<DialedLane>> dial_lane(asio::io_context& io, TlsContext tls, LaneDial dial) {
  auto attempt = std::make_shared<Attempt>(io);
  Deadline deadline{io.get_executor(), dial.timeout, [attempt] { attempt->close(); }};
  const Error late{Errc::TimedOut, "the gateway " + dial.host + " did not answer in time"};
  auto connected = co_await connect(io, attempt, dial);
  if (deadline.expired()) co_return late;
  if (!connected) co_return std::move(connected).error();
  tune_lane_socket(attempt->socket.native_handle(), {});
  attempt->stream = std::make_unique<TlsStream>(std::move(attempt->socket), std::move(tls));
  attempt->stream->engine().set_server_name(dial.server_name);
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await attempt->stream->async_handshake(token);
  if (deadline.expired()) co_return late;
  if (error) co_return attempt->stream->last_error();
  auto lane = co_await upgrade(attempt, std::move(dial));
  if (!lane && deadline.expired()) co_return late;
  co_return lane;
}

}  // namespace culvert
