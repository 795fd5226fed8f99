// In this order: resolve, connect to all addresses at once, TLS on the first that answers, GET health.
#include "tunnel-agent/doctor/gateway_probe.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>

#include "certs/certificate.hpp"
#include "certs/server_name.hpp"
#include "tunnel-agent/doctor/probe_address.hpp"
#include "tunnel-agent/doctor/probe_socket.hpp"
#include "tunnel-agent/network.hpp"
#include "tunnel-core/net/openssl_handles.hpp"
#include "tunnel-core/net/tls_error.hpp"

namespace culvert {

namespace {

constexpr Duration kResolve = 2500ms;
constexpr Duration kConnect = 2s;  // The kernel repeats an unanswered SYN after 1 s.
constexpr Duration kProxy = 4s;
constexpr Duration kTls = 1500ms;
constexpr Duration kPlain = 1s;

Instant in(Duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

std::vector<ProbeAddress> resolve(GatewayFacts& facts) {
  Resolution resolution = resolve_name(facts.host, facts.port, kResolve);
  facts.resolve_error = std::move(resolution.error);
  return std::move(resolution.addresses);
}

AddressFact judge(const ProbeAddress& address, std::uint16_t port, int reason) {
  AddressFact fact;
  fact.address = SourceAddress{IpAddress::of(address.storage), port}.to_text();
  fact.reach = reach_of(reason);
  fact.detail = reason == 0                   ? "connected"
                : fact.reach == Reach::Silent ? "no answer within 2 s"
                                              : std::strerror(reason);
  return fact;
}

/// @return the first connection that stands, in the resolver's order.
UniqueFd connect_all(GatewayFacts& facts, const std::vector<ProbeAddress>& addresses) {
  const Instant deadline = in(kConnect);
  std::vector<UniqueFd> sockets(addresses.size());
  std::vector<int> reasons;
  for (std::size_t i = 0; i < addresses.size(); ++i)
    reasons.push_back(start_connect(addresses[i], sockets[i]));
  UniqueFd first;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // Once one stands, the others get no time of their own.
    if (reasons[i] == EINPROGRESS) reasons[i] = end_connect(sockets[i], first ? in(1ms) : deadline);
    if (first && reasons[i] == EINPROGRESS) continue;
    facts.addresses.push_back(judge(addresses[i], facts.port, reasons[i]));
    if (reasons[i] == 0 && !first) first = std::move(sockets[i]);
  }
  return first;
}

class TlsProbe {
 public:
  TlsProbe(const GatewayFacts& facts, int fd, Instant deadline) : fd_(fd), deadline_(deadline) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    // Everything is looked at, nothing believed: conclusions need the certificate of an impostor.
    SSL_CTX_set_cert_verify_callback(
        context_.get(), [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
    ssl_.reset(SSL_new(context_.get()));
    static constexpr unsigned char kAlpn[] = "\x08http/1.1";
    SSL_set_alpn_protos(ssl_.get(), kAlpn, sizeof kAlpn - 1);
    std::string name = facts.host;  // The macro for this casts constness away.
    if (!certs::is_ip_address(name))
      SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
    SSL_set_fd(ssl_.get(), fd);
  }

  void handshake(GatewayFacts& facts) {
    ERR_clear_error();
    for (;;) {
      const int done = SSL_connect(ssl_.get());
      if (done == 1) break;
      const int system_reason = errno;
      const int why = SSL_get_error(ssl_.get(), done);
      if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        if (wait_for_socket(fd_, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_)) continue;
        facts.tls = TlsOutcome::Silent;
        facts.tls_detail = "no answer to the TLS handshake within 1.5 s";
        return;
      }
      return fail(facts, why, system_reason);
    }
    facts.tls = TlsOutcome::Done;
    facts.tls_version = SSL_get_version(ssl_.get());
  }

  std::vector<certs::Certificate> presented() const {
    std::vector<certs::Certificate> chain;
    const STACK_OF(X509)* const stack = SSL_get_peer_cert_chain(ssl_.get());
    for (int i = 0; i < sk_X509_num(stack); ++i)
      chain.push_back(certs::Certificate::share(sk_X509_value(stack, i)));
    return chain;
  }

  std::string exchange(const std::string& request) {
    if (SSL_write(ssl_.get(), request.data(), static_cast<int>(request.size())) <= 0) return {};
    std::string reply;
    std::array<char, 4096> piece{};
    while (reply.size() < kMostReplyBytes && !is_whole_reply(reply)) {
      const int n = SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
      if (n > 0) {
        reply.append(piece.data(), static_cast<std::size_t>(n));
      } else if (SSL_get_error(ssl_.get(), n) != SSL_ERROR_WANT_READ ||
                 !wait_for_socket(fd_, POLLIN, deadline_)) {
        break;
      }
    }
    return reply;
  }

 private:
  static void fail(GatewayFacts& facts, int why, int system_reason) {
    TlsFailure failure;
    failure.doing = "TLS handshake";
    const int reason = ERR_GET_REASON(ERR_peek_error());
    const bool ended = why == SSL_ERROR_ZERO_RETURN || why == SSL_ERROR_SYSCALL ||
                       reason == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    failure.end_of_stream = ended && (why != SSL_ERROR_SYSCALL || system_reason == 0);
    if (why == SSL_ERROR_SYSCALL) failure.system_errno = system_reason;
    facts.tls = ended                                  ? TlsOutcome::Ended
                : reason == SSL_R_WRONG_VERSION_NUMBER ? TlsOutcome::NotTls
                                                       : TlsOutcome::Failed;
    facts.tls_detail = describe_tls_failure(failure).message();
  }

  int fd_;
  Instant deadline_;
  SslContextPtr context_;
  SslPtr ssl_;
};

PresentedCertificate describe(const std::vector<certs::Certificate>& chain, const certs::Trust& trust,
                              const std::string& host) {
  const certs::Certificate& leaf = chain.front();
  PresentedCertificate shown;
  shown.subject = leaf.subject();
  shown.issuer = leaf.issuer();
  shown.self_signed = leaf.is_self_signed();
  shown.not_before = leaf.not_before();
  shown.not_after = leaf.not_after();
  for (const certs::Certificate& other : std::span{chain}.subspan(1)) {
    if (other.subject() == shown.issuer) shown.issuer_thumbprint = certs::thumbprint_text(other.thumbprint());
  }
  // Names alone: with the leaf itself as anchor, at a time when it is valid.
  shown.names_host =
      certs::verify_server(std::span{chain}.first(1), certs::PinnedRoots{{leaf}}, host, shown.not_before)
          .has_value();
  if (auto verdict = certs::verify_server(chain, trust, host, certs::utc_now()); !verdict)
    shown.verdict = std::move(verdict).error();
  return shown;
}

UniqueFd connect_by_proxy(GatewayFacts& facts, cloud_api::ProxyConnector& proxy, Duration patience) {
  facts.proxy = proxy.settings().authority();
  const cloud_api::Wake never;
  auto opened = proxy.connect(facts.host, facts.port, in(patience), never);
  if (opened) return std::move(*opened);
  facts.proxy_error = std::move(opened).error();
  return {};
}

/// A way of its own: what was sent into the first one is not taken back.
UniqueFd connect_again(const GatewayFacts& facts, const std::vector<ProbeAddress>& addresses,
                       cloud_api::ProxyConnector* proxy) {
  GatewayFacts again;
  again.host = facts.host;
  again.port = facts.port;
  return proxy != nullptr ? connect_by_proxy(again, *proxy, kConnect) : connect_all(again, addresses);
}

}  // namespace

GatewayFacts probe_gateway(const std::string& host, std::uint16_t port, const certs::Trust& trust,
                           cloud_api::ProxyConnector* proxy) {
  GatewayFacts facts;
  facts.host = host;
  facts.port = port;
  const std::vector<ProbeAddress> addresses = proxy != nullptr ? std::vector<ProbeAddress>{} : resolve(facts);
  const UniqueFd socket =
      proxy != nullptr ? connect_by_proxy(facts, *proxy, kProxy) : connect_all(facts, addresses);
  if (!socket) return facts;
  const std::string authority = host.find(':') == std::string::npos ? host : "[" + host + "]";
  const std::string request = "GET /tunnel/v1/health HTTP/1.1\r\nHost: " + authority +
                              "\r\nUser-Agent: culvert-agent doctor\r\nConnection: close\r\n\r\n";
  TlsProbe tls{facts, socket.value(), in(kTls)};
  tls.handshake(facts);
  if (facts.tls == TlsOutcome::Done) {
    if (const auto chain = tls.presented(); !chain.empty()) facts.certificate = describe(chain, trust, host);
    facts.reply = parse_http_reply(tls.exchange(request));
  } else if (const UniqueFd plain = connect_again(facts, addresses, proxy)) {
    facts.plain_reply = parse_http_reply(exchange_plain(plain.value(), request, in(kPlain)));
  }
  facts.asked_at = certs::utc_now();
  return facts;
}

}  // namespace culvert
