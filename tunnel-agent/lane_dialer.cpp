#include "tunnel-agent/lane_dialer.hpp"

#include <sys/socket.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "tunnel-core/net/deadline.hpp"
#include "tunnel-core/net/hello_proof.hpp"
#include "tunnel-core/net/socket_options.hpp"
#include "tunnel-core/net/websocket_framing.hpp"

namespace culvert {
namespace {

namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr const char* kTooLate = "another lane came first";
constexpr std::size_t kMaxReply = 64 * 1024;
/// One address that swallows packets must not use up the time of the others.
constexpr Duration kOneAddress = 3s;

Errc errc_of(const error_code& error) {
  if (error == asio::error::connection_refused) return Errc::ConnectionRefused;
  if (error == asio::error::timed_out || error == asio::error::operation_aborted) return Errc::TimedOut;
  return Errc::Unreachable;
}

bool is_path_trouble(Errc code) {
  return code == Errc::NameUnresolved || code == Errc::ConnectionRefused || code == Errc::Unreachable ||
         code == Errc::TimedOut || code == Errc::IoFailed;
}

/// Everything of one attempt that the deadline must be able to close.
struct Attempt {
  explicit Attempt(asio::io_context& io) : socket(io) {}
  tcp::socket socket;
  std::unique_ptr<TlsStream> stream;
  bool closed = false;

  void close() {
    closed = true;
    error_code ignored;
    socket.close(ignored);
    if (stream) stream->abort();
  }
};

asio::awaitable<Result<void>> connect(asio::io_context& io, LaneRoute& route,
                                      std::shared_ptr<Attempt> attempt, LaneDial dial) {
  const auto addresses = co_await route.addresses_of(dial.host, dial.timeout);
  if (!addresses) co_return addresses.error();
  error_code error = asio::error::operation_aborted;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  for (const asio::ip::address& address : *addresses) {
    if (attempt->closed) break;
    error_code ignored;
    attempt->socket.close(ignored);
    Deadline deadline{io.get_executor(), kOneAddress, [attempt] {
                        error_code closed;
                        attempt->socket.close(closed);
                      }};
    co_await attempt->socket.async_connect({address, dial.port}, token);
    if (!error) co_return Result<void>{};
  }
  co_return Error{errc_of(error),
                  "no connection to the gateway " + dial.host + ":" + std::to_string(dial.port) + ": " +
                      (error == asio::error::operation_aborted ? "no answer" : error.message())};
}

asio::awaitable<Result<void>> connect_by_proxy(std::shared_ptr<Attempt> attempt, LaneRoute& route,
                                               LaneDial dial) {
  auto fd = co_await route.connect_by_proxy(dial.host, dial.port, dial.timeout);
  if (!fd) co_return std::move(fd).error();
  int family = AF_INET;
  socklen_t size = sizeof family;
  ::getsockopt(fd->value(), SOL_SOCKET, SO_DOMAIN, &family, &size);
  error_code error;
  attempt->socket.assign(family == AF_INET6 ? tcp::v6() : tcp::v4(), fd->value(), error);
  if (error) {
    co_return Error{Errc::IoFailed, "cannot use the connection to the proxy: " + error.message()};
  }
  fd->release();
  co_return Result<void>{};
}

/// What one way came to.
struct Tried {
  Result<DialedLane> lane;
  Obstacle obstacle = Obstacle::None;
};

/// Asks for the lane; only a 101 with a valid proof makes one.
asio::awaitable<Tried> upgrade(std::shared_ptr<Attempt> attempt, const LaneRoute& route, LaneDial dial,
                               LaneWay way) {
  TlsStream& stream = *attempt->stream;
  UpgradeRequest request;
  request.host = dial.server_name;
  request.session = dial.session;
  request.hello = {
      kProtocolVersion, dial.epoch, dial.lane, dial.replay_memory,
      hello_proof(dial.secret, Role::Agent, stream.engine(), dial.session, dial.epoch, dial.lane)};
  if (way.carrier == Carrier::WebSocket) request.websocket_key = new_websocket_key();
  request.site_proof = route.site_proof(way, stream.engine());
  const std::string text = request.to_text();
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  std::size_t sent = 0;
  while (sent < text.size()) {
    sent += co_await stream.async_write_some(asio::buffer(text.data() + sent, text.size() - sent), token);
    if (error) co_return Tried{stream.last_error()};
  }
  boost::beast::flat_buffer buffer{kMaxReply};
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxReply / 2);
  co_await http::async_read_header(stream, buffer, parser, token);
  if (error) co_return Tried{stream.last_error()};
  if (parser.get().result_int() != 101) {
    co_await http::async_read(stream, buffer, parser, token);
    co_return Tried{refusal_of(parser.get()),
                    blames_carrier(parser.get()) ? Obstacle::Upgrade : Obstacle::None};
  }
  const auto answer = hello_of(parser.get(), request);
  if (!answer) co_return Tried{answer.error()};
  const Proof expected =
      hello_proof(dial.secret, Role::Gateway, stream.engine(), dial.session, dial.epoch, dial.lane);
  if (answer->epoch != dial.epoch || answer->lane != dial.lane || !proofs_equal(expected, answer->proof)) {
    co_return Tried{
        Error{Errc::ReplyInvalid, "the other end could not prove that it is the gateway of this session"}};
  }
  const auto rest = buffer.data();
  const auto* const first = static_cast<const std::byte*>(rest.data());
  stream.engine().use_bulk_buffers();
  co_return Tried{DialedLane{std::move(attempt->stream), answer->replay_memory,
                             Bytes(first, first + rest.size()), way.carrier}};
}

/// May it be how we began, and not the gateway, that ended the handshake?
bool blames_handshake(Errc code) {
  return code == Errc::TlsFailed || code == Errc::IoFailed || code == Errc::TimedOut;
}

asio::awaitable<Tried> try_way(asio::io_context& io, LaneRoute& route, LaneDial dial, LaneWay way) {
  auto attempt = std::make_shared<Attempt>(io);
  Deadline deadline{io.get_executor(), dial.timeout, [attempt] { attempt->close(); }};
  const Error late{Errc::TimedOut, "the gateway " + dial.host + " did not answer in time"};
  Result<void> connected{};
  if (route.by_proxy()) {
    connected = co_await connect_by_proxy(attempt, route, dial);
  } else {
    connected = co_await connect(io, route, attempt, dial);
  }
  if (deadline.expired()) co_return Tried{late};
  if (!connected) co_return Tried{std::move(connected).error()};
  if (!dial.wanted()) co_return Tried{Error{Errc::Cancelled, kTooLate}};
  tune_lane_socket(attempt->socket.native_handle(), {});
  attempt->stream = std::make_unique<TlsStream>(std::move(attempt->socket), route.tls(way));
  attempt->stream->engine().set_server_name(dial.server_name);
  const bool may_change = route.may_change_identity(way);
  error_code error;
  {
    // What swallows an ALPN it does not know must not use up the time of the other way.
    Deadline silence{io.get_executor(), may_change ? cloud_api::kAlpnPatience : dial.timeout,
                     [attempt] { attempt->close(); }};
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await attempt->stream->async_handshake(token);
    if (silence.expired() || deadline.expired()) co_return Tried{late, Obstacle::Handshake};
  }
  if (error) {
    const Error why = attempt->stream->last_error();
    co_return Tried{why, blames_handshake(why.code()) ? Obstacle::Handshake : Obstacle::None};
  }
  if (!dial.wanted()) co_return Tried{Error{Errc::Cancelled, kTooLate}};
  Tried tried = co_await upgrade(attempt, route, dial, way);
  if (!tried.lane && deadline.expired()) co_return Tried{late};
  co_return tried;
}

}  // namespace

asio::awaitable<Result<DialedLane>> dial_lane(asio::io_context& io, LaneRoute& route, LaneDial dial) {
  const Instant until = std::chrono::steady_clock::now() + dial.timeout;
  LaneWay way = route.way();
  Tried tried = co_await try_way(io, route, dial, way);
  while (!tried.lane) {
    const auto next = route.around(way, tried.obstacle);
    if (!next) {
      route.forget(way, tried.obstacle);
      co_return std::move(tried.lane);
    }
    dial.timeout = until - std::chrono::steady_clock::now();
    if (dial.timeout <= Duration{}) co_return std::move(tried.lane);
    Tried other = co_await try_way(io, route, dial, *next);
    // As long as nothing gets further, the first trouble is the one to tell.
    if (!other.lane && (other.obstacle == tried.obstacle || is_path_trouble(other.lane.error().code()))) {
      co_return std::move(tried.lane);
    }
    way = *next;
    tried = std::move(other);
  }
  route.worked(way);
  co_return std::move(tried.lane);
}

}  // namespace culvert
