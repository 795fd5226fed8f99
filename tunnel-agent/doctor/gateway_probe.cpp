// In this order: resolve, connect to all addresses at once, TLS on the first that answers, GET health.
#include "tunnel-agent/doctor/gateway_probe.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>

#include "certs/certificate.hpp"
#include "certs/server_name.hpp"
#include "tunnel-agent/doctor/neighbour.hpp"
#include "tunnel-agent/doctor/probe_socket.hpp"
#include "tunnel-agent/doctor/probe_way.hpp"
#include "tunnel-agent/doctor/tls_probe.hpp"
#include "tunnel-agent/network.hpp"

namespace culvert {

namespace {

constexpr Duration kResolve = 2500ms;
constexpr Duration kConnect = 2s;  // The kernel repeats an unanswered SYN after 1 s.
constexpr Duration kProxy = 4s;
constexpr Duration kTls = 1500ms;
constexpr Duration kAnswer = 1s;
constexpr Duration kMostForDistance = 1200ms;  ///< What a far line gets on top, for each of the two.
constexpr Duration kPlain = 1s;
constexpr std::uint16_t kPlainPort = 80;

Instant in(Duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

std::vector<ProbeAddress> resolve(GatewayFacts& facts) {
  Resolution resolution = resolve_name(facts.host, facts.port, kResolve);
  facts.resolve_error = std::move(resolution.error);
  return std::move(resolution.addresses);
}

AddressFact judge(const ProbeAddress& address, std::uint16_t port, int reason, const UniqueFd& fd) {
  const auto icmp = reason == 0 || reason == EINPROGRESS ? std::nullopt : icmp_answer(fd.value());
  AddressFact fact;
  fact.address = SourceAddress{IpAddress::of(address.storage), port}.to_text();
  fact.reach = reach_of(reason, icmp);
  fact.detail = reason == 0                   ? "connected"
                : fact.reach == Reach::Silent ? "no answer within 2 s"
                                              : std::strerror(reason);
  if (icmp) {
    fact.detail =
        fmt::format("{} (ICMP from {})", icmp->prohibited ? "administratively prohibited" : fact.detail,
                    icmp->from_here ? "this machine" : icmp->from);
    fact.turned_back = !icmp->from_here;
  }
  const bool unheard = fact.reach == Reach::Silent || fact.reach == Reach::NoRoute;
  if (unheard && is_silent_neighbour(IpAddress::of(address.storage))) {
    fact.reach = Reach::NoRoute;
    fact.detail = "nothing answers at this address in the local network";
    fact.absent = true;
  }
  return fact;
}

/// @return the first connection that stands, in the resolver's order.
UniqueFd connect_all(GatewayFacts& facts, const std::vector<ProbeAddress>& addresses) {
  const Instant deadline = in(kConnect);
  std::vector<UniqueFd> sockets(addresses.size());
  std::vector<int> reasons;
  for (std::size_t i = 0; i < addresses.size(); ++i)
    reasons.push_back(start_connect(addresses[i], sockets[i], 0, /*icmp=*/true));
  UniqueFd first;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // Once one stands, the others get no time of their own.
    if (reasons[i] == EINPROGRESS) reasons[i] = end_connect(sockets[i], first ? in(1ms) : deadline);
    if (first && reasons[i] == EINPROGRESS) continue;
    facts.addresses.push_back(judge(addresses[i], facts.port, reasons[i], sockets[i]));
    if (reasons[i] != 0 || first) continue;
    first = std::move(sockets[i]);
    keep_icmp(first.value(), addresses[i].storage.ss_family, false);
    facts.reached = addresses[i];
  }
  return first;
}

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

UniqueFd connect_by_proxy(GatewayFacts& facts, cloud_api::ProxyConnector& proxy) {
  facts.proxy = proxy.settings().authority();
  const cloud_api::Wake never;
  auto opened = proxy.connect(facts.host, facts.port, in(kProxy), never);
  if (opened) return std::move(*opened);
  facts.proxy_error = std::move(opened).error();
  return {};
}

/// TLS came to nothing: what does the other end say to plain HTTP, and to TLS in small segments?
void look_closer(GatewayFacts& facts, const ProbeWay& way, const std::string& request) {
  if (facts.tls == TlsOutcome::Silent && way.address) {
    if (const UniqueFd small = way.dial(in(kPlain), kSmallSegment)) {
      TlsProbe tls{facts.host, small.value(), in(kPlain)};
      tls.handshake();
      facts.only_small_pass = tls.outcome() == TlsOutcome::Done;
      if (facts.only_small_pass) return;
    }
  }
  if (const UniqueFd plain = way.dial(in(kPlain)))
    facts.plain_reply = parse_http_reply(exchange_plain(plain.value(), request, in(kPlain)));
}

/// Nothing connects: captive portals that shut HTTPS out answer plain HTTP in everybody's place.
void look_for_portal(GatewayFacts& facts, const std::string& request) {
  const Resolution plain = resolve_name(facts.host, kPlainPort, kPlain);
  if (plain.addresses.empty()) return;
  if (const UniqueFd fd = ProbeWay{facts.host, kPlainPort, plain.addresses.front()}.dial(in(kPlain)))
    facts.port_80_reply = parse_http_reply(exchange_plain(fd.value(), request, in(kPlain)));
}

}  // namespace

GatewayFacts probe_gateway(const std::string& host, std::uint16_t port, const certs::Trust& trust,
                           cloud_api::ProxyConnector* proxy) {
  GatewayFacts facts;
  facts.host = host;
  facts.port = port;
  const std::vector<ProbeAddress> addresses = proxy != nullptr ? std::vector<ProbeAddress>{} : resolve(facts);
  const Instant dialled = std::chrono::steady_clock::now();
  const UniqueFd socket = proxy != nullptr ? connect_by_proxy(facts, *proxy) : connect_all(facts, addresses);
  const std::string request = health_request(host);
  if (!socket) {
    if (!facts.addresses.empty()) look_for_portal(facts, request);
    return facts;
  }
  // A satellite's round trip is 0.6 s, and each step takes one.
  const Duration distance =
      std::min<Duration>(2 * (std::chrono::steady_clock::now() - dialled), kMostForDistance);
  TlsProbe tls{facts.host, socket.value(), in(kTls + distance)};
  tls.handshake();
  facts.tls = tls.outcome();
  facts.tls_version = tls.version();
  facts.tls_detail = tls.detail();
  if (facts.tls == TlsOutcome::Done) {
    if (const auto chain = tls.presented(); !chain.empty()) facts.certificate = describe(chain, trust, host);
    const std::string reply = tls.exchange(request, in(kAnswer + distance));
    facts.reply = parse_http_reply(reply);
    facts.silent_after_tls = reply.empty() && !tls.was_closed() && !tls.was_cut();
  } else {
    look_closer(facts, {host, port, facts.reached, proxy}, request);
  }
  facts.asked_at = certs::utc_now();
  return facts;
}

}  // namespace culvert
