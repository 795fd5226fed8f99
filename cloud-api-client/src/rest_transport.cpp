// cpprest does HTTP and drives TLS; this file dials for it. cpprest cannot connect to an IPv6 literal, waits
// for a silent address until the time is up, does not say whether a connection was refused, and takes the
// port for a part of the server name. So it is given a socket whose connection already stands: its own
// connect() on that socket then succeeds at once (Linux reports the end of a non-blocking connect to the next
// call, whatever its address), and 127.0.0.1 in its URLs is never connected to. What cannot be done so,
// proxies and the site's proof, is done by https_exchange.cpp (docs/adr/0010).
#include "cloud-api-client/src/rest_transport.hpp"

#include <cpprest/http_client.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pplx/threadpool.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "cloud-api-client/src/dialer.hpp"
#include "cloud-api-client/src/https_exchange.hpp"

namespace culvert::cloud_api {

namespace {

namespace http = web::http;
using TcpSocket = boost::asio::ip::tcp::socket;
using TlsSocket = boost::asio::ssl::stream<TcpSocket&>;

constexpr Duration kNoLimit = 24h;
constexpr int kLargestErrno = 4095;  // Above it, cpprest passes on OpenSSL's packed error codes.

// How cpprest's answer reaches the waiting caller, who may have left already.
struct Pending {
  Wake done;
  bool answered = false;
  HttpReply reply;
  int failure = 0;  ///< errno, OpenSSL code, or 0: cpprest understood the transport but not the reply.
  std::string failure_text;
  std::atomic<bool> too_large = false;
};

// cpprest would start 40 threads; the choice has to fall before its first use.
void start_cpprest() {
  static std::once_flag once;
  std::call_once(once, [] {
    try {
      crossplat::threadpool::initialize_with_threads(2);
    } catch (const std::exception&) {
      // Another user of cpprest in this process was first, with a number of its own.
    }
  });
}

// SSL_set_tlsext_host_name() without the cast that its macro hides.
void set_server_name(SSL* ssl, std::string name) {
  SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
}

void hand_over(TcpSocket& socket, DialedSocket& dialed) {
  using boost::asio::ip::tcp;
  const auto protocol = dialed.ipv6() ? tcp::v6() : tcp::v4();
  const int fd = dialed.release();
  if (fd < 0) throw std::runtime_error("the connection was closed before it was used");
  socket.assign(protocol, fd);
}

void take_answer(const std::shared_ptr<Pending>& pending, pplx::task<http::http_response> answer) {
  try {
    const http::http_response response = answer.get();
    pending->reply.status = response.status_code();
    const auto& headers = response.headers();
    if (const auto found = headers.find("Retry-After"); found != headers.end()) {
      pending->reply.retry_after = parse_retry_after(found->second);
    }
    const std::vector<unsigned char> body = response.extract_vector().get();
    pending->reply.body.assign(body.begin(), body.end());
    pending->answered = true;
  } catch (const http::http_exception& failure) {
    pending->failure = failure.error_code().value();
    pending->failure_text = failure.what();
  } catch (const std::exception& failure) {
    pending->failure_text = failure.what();
  }
  pending->done.signal();
}

/// How cpprest gets at the connection that stands, and what TLS is like on it.
http::client::http_client_config configure(const GatewayUrl& gateway, const TlsPolicy& tls,
                                           const std::shared_ptr<TlsWitness>& witness, DialedSocket dialed) {
  // Owned by the callback, which cpprest copies.
  auto socket = std::make_shared<DialedSocket>(std::move(dialed));
  http::client::http_client_config config;
  config.set_max_redirects(0);
  config.set_ssl_context_callback(
      [tls, witness](boost::asio::ssl::context& context) { tls.apply(context.native_handle(), witness); });
  config.set_proxy(web::web_proxy{web::web_proxy::disabled});
  config.set_tlsext_sni_enabled(false);
  const std::string server_name = gateway.host_is_literal() ? "" : gateway.host;
  config.set_nativehandle_options([socket, server_name](http::client::native_handle handle) {
    auto& stream = *static_cast<TlsSocket*>(handle);
    if (!server_name.empty()) set_server_name(stream.native_handle(), server_name);
    hand_over(stream.next_layer(), *socket);
  });
  return config;
}

http::http_request message_for(const HttpRequest& request, const GatewayUrl& gateway,
                               const std::string& user_agent) {
  http::http_request message{request.method};
  message.set_request_uri(request.path);
  if (!request.body.empty()) message.set_body(request.body, "application/json");
  message.headers().add("Accept", "application/json");
  message.headers().add("User-Agent", user_agent);
  message.headers().add("Host", gateway.to_text().substr(std::string_view{"https://"}.size()));
  return message;
}

/// cpprest's view of a failure, with ours of TLS, as one Error.
Error failure_of(const Pending& pending, const TlsWitness& witness, const std::string& gateway) {
  if (auto error = witness.error()) return *error;
  if (pending.too_large) return reply_too_large(gateway);
  if (pending.failure == ETIMEDOUT) return reply_late(gateway);
  if (witness.in_handshake() && pending.failure > kLargestErrno) {
    return not_tls(gateway, ::ERR_reason_error_string(static_cast<unsigned long>(pending.failure)));
  }
  if (pending.failure == 0) return not_http(gateway, pending.failure_text);
  return closed_early(gateway);
}

/// Could it be that something on the way dislikes how we began, and not the gateway's answer?
bool may_dislike_alpn(Errc code) {
  return code == Errc::TlsFailed || code == Errc::Unreachable || code == Errc::TimedOut;
}

}  // namespace

RestTransport::RestTransport(GatewayUrl gateway, TlsPolicy tls, std::shared_ptr<ProxyConnector> proxy,
                             std::shared_ptr<IdentityMemory> identity, std::string user_agent)
    : gateway_(std::move(gateway)),
      tls_(std::move(tls)),
      proxy_(std::move(proxy)),
      identity_(std::move(identity)),
      user_agent_(std::move(user_agent)) {}

/// A connection to the gateway, on which nothing has been said.
Result<DialedSocket> RestTransport::connect(Instant deadline, const Wake& cancelled) const {
  if (!proxy_) return dial(gateway_.host, gateway_.port, deadline, cancelled);
  auto fd = proxy_->connect(gateway_.host, gateway_.port, deadline, cancelled);
  if (!fd) return std::move(fd).error();
  return DialedSocket::of(fd->release());
}

Result<HttpReply> RestTransport::exchange(const HttpRequest& request, Instant deadline,
                                          const Wake& cancelled) {
  if (!tls_.has_identity()) return attempt(request, tls_, kNoLimit, deadline, cancelled).reply;
  if (identity_->choice() == IdentityBy::Proof) {
    Attempt made = attempt(request, tls_.by_proof(), kNoLimit, deadline, cancelled);
    if (!made.reply && made.failed_in_handshake) identity_->forget();
    return std::move(made.reply);
  }
  const bool may_learn = identity_->may_learn();
  // A middlebox that swallows what it does not know must not use up the time of the other way.
  Attempt made = attempt(request, tls_, may_learn ? kAlpnPatience : kNoLimit, deadline, cancelled);
  const bool disliked =
      made.failed_in_handshake && (made.reply || may_dislike_alpn(made.reply.error().code()));
  if (disliked) {
    identity_->certificate_failed();
  } else if (made.reply) {
    identity_->certificate_worked();
  }
  if (!disliked || !may_learn) return std::move(made.reply);
  // The gateway did not know us, and carried nothing out: every request may be made again.
  Attempt again = attempt(request, tls_.by_proof(), kNoLimit, deadline, cancelled);
  if (!again.reply) return std::move(made.reply);
  identity_->proof_worked();
  return std::move(again.reply);
}

RestTransport::Attempt RestTransport::attempt(const HttpRequest& request, const TlsPolicy& tls,
                                              Duration patience, Instant deadline, const Wake& cancelled) {
  auto connection = connect(deadline, cancelled);
  if (!connection) return {std::move(connection).error()};
  const Instant handshake_until = std::min<Instant>(deadline, std::chrono::steady_clock::now() + patience);
  const Times times{handshake_until, deadline};
  // cpprest resolves 127.0.0.1 even for a socket that stands, and cannot where there is no IPv4 at all.
  const bool plain = !proxy_ && !tls.is_by_proof() && !connection->ipv6();
  if (plain) return by_cpprest(request, std::move(*connection), times, cancelled);
  return exchange_https(std::move(*connection), gateway_, tls, request, user_agent_, times, cancelled);
}

RestTransport::Attempt RestTransport::by_cpprest(const HttpRequest& request, DialedSocket connection,
                                                 const Times& times, const Wake& cancelled) {
  start_cpprest();
  const std::string shown = gateway_.to_text();
  auto witness = std::make_shared<TlsWitness>();  // Owned by this call and by the SSL_CTX.
  auto pending = std::make_shared<Pending>();     // Owned by this call and by cpprest's continuation.
  auto config = configure(gateway_, tls_, witness, std::move(connection));
  config.set_timeout(std::chrono::milliseconds{std::max(1, poll_timeout_ms(times.deadline))});
  auto message = message_for(request, gateway_, user_agent_);
  pplx::cancellation_token_source stop;
  message.set_progress_handler(
      [pending, stop](http::message_direction::direction direction, std::uint64_t bytes) {
        if (direction != http::message_direction::download || bytes <= kMaxReplyBytes) return;
        pending->too_large = true;
        stop.cancel();
      });
  try {
    const std::string url = "https://127.0.0.1:" + std::to_string(gateway_.port);
    http::client::http_client client{web::uri{url}, config};
    client.request(message, stop.get_token()).then([pending](pplx::task<http::http_response> answer) {
      take_answer(pending, std::move(answer));
    });
  } catch (const std::exception& failure) {
    return {Error{Errc::InternalError, std::string{"cannot start a request: "} + failure.what()}};
  }
  Woken woken = wait_for(&pending->done, cancelled, times.handshake_until);
  if (woken == Woken::DeadlinePassed && witness->agreed()) {
    woken = wait_for(&pending->done, cancelled, times.deadline);
  }
  switch (woken) {
    case Woken::Done:
      break;
    case Woken::Cancelled:
      stop.cancel();
      return {Error{Errc::Cancelled, "the call was cancelled"}};
    case Woken::DeadlinePassed:
      stop.cancel();
      return {reply_late(shown), !witness->agreed()};
  }
  if (pending->answered && !pending->too_large) return {std::move(pending->reply), !witness->agreed()};
  return {failure_of(*pending, *witness, shown), !witness->agreed()};
}

}  // namespace culvert::cloud_api
