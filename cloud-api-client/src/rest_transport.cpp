// cpprest does HTTP and drives TLS; this file dials for it. cpprest cannot connect to an IPv6 literal, waits
// for a silent address until the time is up, does not say whether a connection was refused, and takes the
// port for a part of the server name. So it is given a socket whose connection already stands: its own
// connect() on that socket then succeeds at once (Linux reports the end of a non-blocking connect to the next
// call, whatever its address), and 127.0.0.1 in its URLs is never connected to.
#include "cloud-api-client/src/rest_transport.hpp"

#include <cpprest/http_client.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pplx/threadpool.h>

#include <atomic>
#include <charconv>
#include <mutex>
#include <vector>

#include "cloud-api-client/src/dialer.hpp"

namespace culvert::cloud_api {

namespace {

namespace http = web::http;
using TcpSocket = boost::asio::ip::tcp::socket;
using TlsSocket = boost::asio::ssl::stream<TcpSocket&>;

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

std::optional<std::chrono::seconds> retry_after(const http::http_headers& headers) {
  const auto found = headers.find("Retry-After");
  if (found == headers.end()) return std::nullopt;
  unsigned seconds = 0;
  const char* end = found->second.data() + found->second.size();
  const auto parsed = std::from_chars(found->second.data(), end, seconds);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return std::chrono::seconds{std::min(seconds, 86'400U)};
}

void take_answer(const std::shared_ptr<Pending>& pending, pplx::task<http::http_response> answer) {
  try {
    const http::http_response response = answer.get();
    pending->reply.status = response.status_code();
    pending->reply.retry_after = retry_after(response.headers());
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
http::client::http_client_config configure(const GatewayUrl& gateway, const std::optional<GatewayUrl>& proxy,
                                           const TlsPolicy& tls, const std::shared_ptr<TlsWitness>& witness,
                                           DialedSocket dialed) {
  // Owned by the callback, which cpprest copies.
  auto socket = std::make_shared<DialedSocket>(std::move(dialed));
  http::client::http_client_config config;
  config.set_max_redirects(0);
  config.set_ssl_context_callback(
      [tls, witness](boost::asio::ssl::context& context) { tls.apply(context.native_handle(), witness); });
  if (proxy) {
    config.set_proxy(web::web_proxy{"http://127.0.0.1:" + std::to_string(proxy->port)});
    config.set_tlsext_sni_enabled(!gateway.host_is_literal());
    config.set_nativehandle_options([socket](http::client::native_handle handle) {
      hand_over(*static_cast<TcpSocket*>(handle), *socket);
    });
    return config;
  }
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

http::http_request message_for(const HttpRequest& request, const GatewayUrl& gateway, bool through_proxy,
                               const std::string& user_agent) {
  http::http_request message{request.method};
  message.set_request_uri(request.path);
  if (!request.body.empty()) message.set_body(request.body, "application/json");
  message.headers().add("Accept", "application/json");
  message.headers().add("User-Agent", user_agent);
  // Behind a proxy cpprest knows the host from its URL, and would take a header, port and all, for the TLS
  // name.
  if (!through_proxy)
    message.headers().add("Host", gateway.to_text().substr(std::string_view{"https://"}.size()));
  return message;
}

/// cpprest's view of a failure, with ours of TLS, as one Error.
Error failure_of(const Pending& pending, const TlsWitness& witness, const std::string& gateway) {
  if (auto error = witness.error()) return *error;
  if (pending.too_large) {
    return Error{Errc::ReplyInvalid,
                 "the reply is larger than 1 MiB; check that " + gateway + " is a Culvert gateway"};
  }
  if (pending.failure == ETIMEDOUT) {
    return Error{Errc::TimedOut, gateway + " did not answer in time; check its load and the way to it"};
  }
  if (pending.failure_text.find("from proxy") != std::string::npos) {
    return Error{Errc::Unreachable, "the proxy did not open the way to " + gateway + " (" +
                                        pending.failure_text +
                                        "); allow it there, or name the gateway in no_proxy"};
  }
  if (witness.in_handshake() && pending.failure > kLargestErrno) {
    const char* reason = ::ERR_reason_error_string(static_cast<unsigned long>(pending.failure));
    return Error{Errc::TlsFailed, gateway + " does not speak TLS 1.3 as a gateway does (" +
                                      (reason == nullptr ? "no reason given" : reason) +
                                      "); check host and port"};
  }
  if (pending.failure == 0) {
    return Error{Errc::ReplyInvalid, "what answered is not HTTP (" + pending.failure_text + "); check that " +
                                         gateway + " is a Culvert gateway"};
  }
  return Error{Errc::Unreachable, gateway +
                                      " closed the connection before it answered; it may be restarting, or "
                                      "something on the way cuts connections"};
}

}  // namespace

RestTransport::RestTransport(GatewayUrl gateway, TlsPolicy tls, std::optional<GatewayUrl> proxy,
                             std::string user_agent)
    : gateway_(std::move(gateway)),
      tls_(std::move(tls)),
      proxy_(std::move(proxy)),
      user_agent_(std::move(user_agent)) {}

Result<HttpReply> RestTransport::exchange(const HttpRequest& request, Instant deadline,
                                          const Wake& cancelled) {
  start_cpprest();
  const std::string shown = gateway_.to_text();
  const GatewayUrl& hop = proxy_ ? *proxy_ : gateway_;
  auto dialed = dial(hop.host, hop.port, deadline, cancelled);
  if (!dialed) {
    if (proxy_) return std::move(dialed).error().at("reach the proxy of https_proxy for", shown);
    return std::move(dialed).error();
  }
  auto witness = std::make_shared<TlsWitness>();  // Owned by this call and by the SSL_CTX.
  auto pending = std::make_shared<Pending>();     // Owned by this call and by cpprest's continuation.
  auto config = configure(gateway_, proxy_, tls_, witness, std::move(*dialed));
  config.set_timeout(std::chrono::milliseconds{std::max(1, poll_timeout_ms(deadline))});
  auto message = message_for(request, gateway_, proxy_.has_value(), user_agent_);
  pplx::cancellation_token_source stop;
  message.set_progress_handler(
      [pending, stop](http::message_direction::direction direction, std::uint64_t bytes) {
        if (direction != http::message_direction::download || bytes <= kMaxReplyBytes) return;
        pending->too_large = true;
        stop.cancel();
      });
  try {
    const std::string url = proxy_ ? shown : "https://127.0.0.1:" + std::to_string(gateway_.port);
    http::client::http_client client{web::uri{url}, config};
    client.request(message, stop.get_token()).then([pending](pplx::task<http::http_response> answer) {
      take_answer(pending, std::move(answer));
    });
  } catch (const std::exception& failure) {
    return Error{Errc::InternalError, std::string{"cannot start a request: "} + failure.what()};
  }
  switch (wait_for(&pending->done, cancelled, deadline)) {
    case Woken::Done:
      break;
    case Woken::Cancelled:
      stop.cancel();
      return Error{Errc::Cancelled, "the call was cancelled"};
    case Woken::DeadlinePassed:
      stop.cancel();
      return Error{Errc::TimedOut, shown + " did not answer in time; check its load and the way to it"};
  }
  if (pending->answered && !pending->too_large) return std::move(pending->reply);
  return failure_of(*pending, *witness, shown);
}

}  // namespace culvert::cloud_api
