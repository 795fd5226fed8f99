#include "cloud-api-client/src/https_exchange.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <memory>

#include "certs/site_proof.hpp"

namespace culvert::cloud_api {

namespace {

namespace http = boost::beast::http;

constexpr std::size_t kPiece = 16384;
constexpr std::size_t kMaxHead = 16384;

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

/// TLS between two memory BIOs, so that every byte leaves by send(MSG_NOSIGNAL) and every wait is ours.
class Conversation {
 public:
  Conversation(DialedSocket connection, const GatewayUrl& gateway, Instant deadline, const Wake& cancelled)
      : socket_(std::move(connection)),
        shown_(gateway.to_text()),
        deadline_(deadline),
        cancelled_(cancelled),
        witness_(std::make_shared<TlsWitness>()) {}

  void set_deadline(Instant deadline) { deadline_ = deadline; }
  Result<void> shake_hands(const GatewayUrl& gateway, const TlsPolicy& tls);
  Result<void> say(std::string_view text);
  Result<HttpReply> hear();
  SSL* ssl() const { return ssl_.get(); }

 private:
  Result<void> flush();
  Result<bool> receive();  ///< False: the peer has ended.
  Result<void> wait(short events);
  Error failed() const;

  DialedSocket socket_;
  const std::string shown_;
  Instant deadline_;
  const Wake& cancelled_;
  std::shared_ptr<TlsWitness> witness_;  // Owned by this object and by the SSL_CTX.
  std::unique_ptr<SSL_CTX, ContextDeleter> context_;
  std::unique_ptr<SSL, SslDeleter> ssl_;
};

Result<void> Conversation::wait(short events) {
  for (;;) {
    pollfd entries[2] = {{cancelled_.fd(), POLLIN, 0}, {socket_.fd(), events, 0}};
    const int ready = ::poll(entries, 2, poll_timeout_ms(deadline_));
    if (entries[0].revents != 0) return Error{Errc::Cancelled, "the call was cancelled"};
    if (ready > 0) return {};
    if (poll_timeout_ms(deadline_) == 0) return reply_late(shown_);
  }
}

Result<void> Conversation::flush() {
  std::array<char, kPiece> piece;
  for (;;) {
    const int size = BIO_read(SSL_get_wbio(ssl_.get()), piece.data(), static_cast<int>(piece.size()));
    if (size <= 0) return {};
    for (int sent = 0; sent < size;) {
      const ssize_t n =
          ::send(socket_.fd(), piece.data() + sent, static_cast<std::size_t>(size - sent), MSG_NOSIGNAL);
      if (n > 0) {
        sent += static_cast<int>(n);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (auto ready = wait(POLLOUT); !ready) return ready;
      } else if (errno != EINTR) {
        return {};  // What the peer said last is still to be read, and says more than our errno.
      }
    }
  }
}

Result<bool> Conversation::receive() {
  std::array<char, kPiece> piece;
  for (;;) {
    const ssize_t n = ::recv(socket_.fd(), piece.data(), piece.size(), 0);
    if (n > 0) {
      BIO_write(SSL_get_rbio(ssl_.get()), piece.data(), static_cast<int>(n));
      return true;
    }
    if (n == 0) return false;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (auto ready = wait(POLLIN); !ready) return std::move(ready).error();
  }
}

Error Conversation::failed() const {
  if (auto error = witness_->error()) return *error;
  const unsigned long code = ::ERR_peek_last_error();
  if (witness_->in_handshake() && code != 0) return not_tls(shown_, ::ERR_reason_error_string(code));
  return closed_early(shown_);
}

Result<void> Conversation::shake_hands(const GatewayUrl& gateway, const TlsPolicy& tls) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (!context_) return Error{Errc::InternalError, "TLS cannot be set up"};
  tls.apply(context_.get(), witness_);
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl_.get());
  if (!gateway.host_is_literal()) {
    std::string name = gateway.host;
    SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  }
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (auto sent = flush(); !sent) return sent;
    if (result == 1 && !witness_->agreed()) {
      return Error{Errc::TlsFailed,
                   shown_ +
                       " did not agree on culvert/1; check that it is a Culvert gateway, and that nothing "
                       "on the way ends TLS"};
    }
    if (result == 1) return {};
    if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) return failed();
    auto more = receive();
    if (!more) return std::move(more).error();
    if (!*more) return failed();
  }
}

Result<void> Conversation::say(std::string_view text) {
  ERR_clear_error();
  if (SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) <= 0) return failed();
  return flush();
}

Result<HttpReply> Conversation::hear() {
  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.header_limit(kMaxHead);
  parser.body_limit(kMaxReplyBytes);
  std::string unread;
  std::array<char, kPiece> piece;
  while (!parser.is_done()) {
    ERR_clear_error();
    const int n = SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
    boost::beast::error_code error;
    if (n > 0) {
      unread.append(piece.data(), static_cast<std::size_t>(n));
      const std::size_t used = parser.put(boost::asio::buffer(unread), error);
      unread.erase(0, used);
      if (error == http::error::need_more) continue;
    } else {
      const int why = SSL_get_error(ssl_.get(), n);
      if (why == SSL_ERROR_WANT_READ) {
        auto more = receive();
        if (!more) return std::move(more).error();
        if (!*more) return failed();
        continue;
      }
      if (why != SSL_ERROR_ZERO_RETURN) return failed();
      parser.put_eof(error);  // A body without a length ends with close_notify.
      if (!parser.got_some()) return closed_early(shown_);
      if (!error) break;
    }
    if (error == http::error::body_limit) return reply_too_large(shown_);
    if (error) return not_http(shown_, error.message());
  }
  const auto& message = parser.get();
  HttpReply reply;
  reply.status = static_cast<int>(message.result_int());
  reply.body = message.body();
  reply.retry_after = parse_retry_after(std::string{message[http::field::retry_after]});
  return reply;
}

std::string head_of(const HttpRequest& request, const GatewayUrl& gateway, const std::string& user_agent) {
  std::string head = request.method + " " + request.path +
                     " HTTP/1.1\r\nHost: " + gateway.to_text().substr(std::string_view{"https://"}.size()) +
                     "\r\nAccept: application/json\r\nUser-Agent: " + user_agent +
                     "\r\nConnection: close\r\n";
  if (!request.body.empty()) head += "Content-Type: application/json\r\n";
  if (request.method != "GET") head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  return head;
}

}  // namespace

HttpAttempt exchange_https(DialedSocket connection, const GatewayUrl& gateway, const TlsPolicy& tls,
                           const HttpRequest& request, const std::string& user_agent, const HttpTimes& times,
                           const Wake& cancelled) {
  Conversation conversation{std::move(connection), gateway, times.handshake_until, cancelled};
  if (auto trusted = conversation.shake_hands(gateway, tls); !trusted) {
    return {std::move(trusted).error(), /*failed_in_handshake=*/true};
  }
  conversation.set_deadline(times.deadline);
  std::string text = head_of(request, gateway, user_agent);
  if (const std::string proof = tls.site_proof(conversation.ssl()); !proof.empty()) {
    text += std::string{certs::kSiteProofHeader} + ": " + proof + "\r\n";
  }
  if (auto said = conversation.say(text + "\r\n" + request.body); !said) return {std::move(said).error()};
  return {conversation.hear()};
}

}  // namespace culvert::cloud_api
