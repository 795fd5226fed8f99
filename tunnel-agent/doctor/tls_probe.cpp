#include "tunnel-agent/doctor/tls_probe.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <array>
#include <cerrno>

#include "certs/server_name.hpp"
#include "tunnel-agent/doctor/probe_socket.hpp"
#include "tunnel-core/net/tls_error.hpp"

namespace culvert {

TlsProbe::TlsProbe(const std::string& host, int fd, Instant deadline) : fd_(fd), deadline_(deadline) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  // Everything is looked at, nothing believed: conclusions need the certificate of an impostor.
  SSL_CTX_set_cert_verify_callback(
      context_.get(), [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
  ssl_.reset(SSL_new(context_.get()));
  static constexpr unsigned char kAlpn[] = "\x08http/1.1";
  SSL_set_alpn_protos(ssl_.get(), kAlpn, sizeof kAlpn - 1);
  std::string name = host;  // The macro for this casts constness away.
  if (!certs::is_ip_address(name))
    SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  SSL_set_fd(ssl_.get(), fd);
}

void TlsProbe::handshake() {
  ERR_clear_error();
  for (;;) {
    const int done = SSL_connect(ssl_.get());
    if (done == 1) break;
    const int system_reason = errno;
    const int why = SSL_get_error(ssl_.get(), done);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
      if (wait_for_socket(fd_, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_)) continue;
      outcome_ = TlsOutcome::Silent;
      detail_ = "no answer to the TLS handshake within 1.5 s";
      return;
    }
    return fail(why, system_reason);
  }
  outcome_ = TlsOutcome::Done;
  version_ = SSL_get_version(ssl_.get());
}

std::vector<certs::Certificate> TlsProbe::presented() const {
  std::vector<certs::Certificate> chain;
  const STACK_OF(X509)* const stack = SSL_get_peer_cert_chain(ssl_.get());
  for (int i = 0; i < sk_X509_num(stack); ++i)
    chain.push_back(certs::Certificate::share(sk_X509_value(stack, i)));
  return chain;
}

bool TlsProbe::send_all(const std::string& request, Instant deadline) {
  for (;;) {
    const int n = SSL_write(ssl_.get(), request.data(), static_cast<int>(request.size()));
    if (n > 0) return true;
    const int why = SSL_get_error(ssl_.get(), n);
    if (why == SSL_ERROR_WANT_WRITE && wait_for_socket(fd_, POLLOUT, deadline)) continue;
    note_end(why);
    return false;
  }
}

void TlsProbe::note_end(int why) {
  closed_ = why == SSL_ERROR_ZERO_RETURN;
  cut_ = why == SSL_ERROR_SYSCALL || why == SSL_ERROR_SSL;
}

std::string TlsProbe::exchange(const std::string& request, Instant deadline) {
  closed_ = cut_ = false;
  if (!send_all(request, deadline)) return {};
  std::string reply;
  std::array<char, 4096> piece{};
  while (reply.size() < kMostReplyBytes && !is_whole_reply(reply)) {
    const int n = SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
    if (n > 0) {
      reply.append(piece.data(), static_cast<std::size_t>(n));
      continue;
    }
    if (const int why = SSL_get_error(ssl_.get(), n); why != SSL_ERROR_WANT_READ) {
      note_end(why);
      break;
    }
    if (!wait_for_socket(fd_, POLLIN, deadline)) break;
  }
  return reply;
}

void TlsProbe::fail(int why, int system_reason) {
  TlsFailure failure;
  failure.doing = "TLS handshake";
  const int reason = ERR_GET_REASON(ERR_peek_error());
  const bool ended = why == SSL_ERROR_ZERO_RETURN || why == SSL_ERROR_SYSCALL ||
                     reason == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  failure.end_of_stream = ended && (why != SSL_ERROR_SYSCALL || system_reason == 0);
  if (why == SSL_ERROR_SYSCALL) failure.system_errno = system_reason;
  outcome_ = ended                                  ? TlsOutcome::Ended
             : reason == SSL_R_WRONG_VERSION_NUMBER ? TlsOutcome::NotTls
                                                    : TlsOutcome::Failed;
  detail_ = describe_tls_failure(failure).message();
}

std::string health_request(const std::string& host, bool lasting, const std::string& more_headers) {
  const std::string authority = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return "GET /tunnel/v1/health HTTP/1.1\r\nHost: " + authority + "\r\nUser-Agent: culvert-agent doctor\r\n" +
         more_headers + (lasting ? "" : "Connection: close\r\n") + "\r\n";
}

}  // namespace culvert
