#include "tunnel-agent/doctor/gateway_conclusions.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "certs/authority.hpp"
#include "tunnel-agent/doctor/neighbour.hpp"
#include "tunnel-agent/doctor/path_probe.hpp"

namespace culvert {

namespace {

constexpr std::size_t kShownBody = 60;

std::string seen_addresses(const GatewayFacts& facts) {
  std::string text;
  for (const AddressFact& fact : facts.addresses) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", fact.address, fact.detail);
  }
  return text;
}

bool any(const GatewayFacts& facts, Reach reach) {
  return std::any_of(facts.addresses.begin(), facts.addresses.end(),
                     [reach](const AddressFact& fact) { return fact.reach == reach; });
}

/// Of several addresses the one that came furthest says most.
Finding not_reached(const GatewayFacts& facts) {
  const std::string seen = seen_addresses(facts);
  if (any(facts, Reach::Refused)) {
    return {"port_refused", fmt::format("{} is refused", facts.where()), seen,
            "ask the provider whether the gateway runs and listens on this port, and the owner of the "
            "firewall whether it rejects TCP to it"};
  }
  if (any(facts, Reach::Silent)) {
    return {"port_filtered", fmt::format("{} is filtered: packets are silently dropped", facts.where()), seen,
            fmt::format("ask the owner of the firewall to allow outgoing TCP to port {} of {}", facts.port,
                        facts.host)};
  }
  if (any(facts, Reach::Forbidden)) {
    return {"port_forbidden_here", fmt::format("this machine's own firewall forbids {}", facts.where()), seen,
            fmt::format("allow outgoing TCP to port {} here (nft list ruleset shows the rules)", facts.port)};
  }
  if (any(facts, Reach::Prohibited)) {
    return {
        "port_prohibited", fmt::format("a firewall on the way refuses {}", facts.where()), seen,
        fmt::format("this machine has a route; ask the owner of the firewall that answered to allow outgoing "
                    "TCP to port {} of {}",
                    facts.port, facts.host)};
  }
  if (std::ranges::any_of(facts.addresses, &AddressFact::turned_back)) {
    return {"no_route",
            fmt::format("a router or firewall on the way turns packets to {} back", facts.where()), seen,
            "ask the owner of the machine that answered whether it has a route there and whether a firewall "
            "rejects this; the route from here to it works"};
  }
  const auto absent = std::ranges::find_if(facts.addresses, &AddressFact::absent);
  if (absent != facts.addresses.end()) {
    return {"host_absent", fmt::format("nothing answers at {} in the local network", absent->address), seen,
            kAbsentAdvice};
  }
  return {"no_route", fmt::format("there is no route to {}", facts.where()), seen,
          "check this machine's addresses and default route (ip route), its cable and its VPN"};
}

Finding not_through_proxy(const GatewayFacts& facts) {
  const Error& error = *facts.proxy_error;
  if (error.code() == Errc::ProxyUnauthorized) {
    return {"proxy_needs_login", fmt::format("the proxy {} wants a login", facts.proxy), error.text(),
            "set user, password_file or auth in [proxy] of agent.toml as the reason says"};
  }
  if (error.code() == Errc::ProxyRefused) {
    return {"proxy_refuses", fmt::format("the proxy {} does not let this agent through", facts.proxy),
            error.text(), fmt::format("ask the proxy's owner to allow CONNECT to {}", facts.where())};
  }
  return {"proxy_failed", fmt::format("there is no way to the gateway through the proxy {}", facts.proxy),
          error.text(), "check [proxy] in agent.toml or https_proxy, and ask the proxy's owner"};
}

bool is_captive(const HttpReply& reply, const std::string& host) {
  if (reply.status == 511 || reply.is_login_page()) return true;  // 511: Network Authentication Required.
  const std::string to = reply.host_of_location();
  return reply.redirects() && !to.empty() && to != host;
}

std::string seen_reply(const HttpReply& reply) {
  std::string text = fmt::format("HTTP status {}", reply.status);
  if (!reply.server.empty()) text += fmt::format(", server '{}'", reply.server);
  if (!reply.location.empty()) text += fmt::format(", redirects to {}", reply.location);
  if (!reply.body.empty()) text += fmt::format(", begins '{}'", reply.body.substr(0, kShownBody));
  return text;
}

/// @param before  what else was seen.
Finding captive_portal(const HttpReply& reply, const std::string& before = {}) {
  return {
      "captive_portal", "a captive portal answers in the gateway's place", before + seen_reply(reply),
      reply.location.empty()
          ? "log in to this network with a browser, or ask its owner to let this machine through"
          : fmt::format("log in at {} with a browser, or ask the owner of this network to let this machine "
                        "through",
                        reply.location)};
}

Finding not_a_gateway(const GatewayFacts& facts, std::string evidence) {
  std::string advice =
      "check gateway_url in agent.toml, and with the provider whether something else took its port";
  if (facts.certificate) {
    evidence += fmt::format("; its certificate is signed by '{}'", facts.certificate->issuer);
    advice +=
        "; if the provider does not know who signed, have the gateway's name exempted from TLS inspection";
  }
  return {"not_a_gateway", fmt::format("{} answers, but it is not a gateway", facts.where()),
          std::move(evidence), std::move(advice)};
}

Finding no_tls(const GatewayFacts& facts) {
  if (facts.plain_reply) {
    if (is_captive(*facts.plain_reply, facts.host)) return captive_portal(*facts.plain_reply);
    return not_a_gateway(facts, "it speaks plain HTTP: " + seen_reply(*facts.plain_reply));
  }
  switch (facts.tls) {
    case TlsOutcome::Silent:
      if (facts.only_small_pass)
        return mtu_hole(facts.where(), "TLS stalls, and with small segments it comes about");
      return {"handshake_unanswered",
              fmt::format("{} takes connections and then says nothing", facts.where()), facts.tls_detail,
              "ask the provider whether the gateway works, and the owner of the firewall whether it inspects "
              "TLS"};
    case TlsOutcome::Ended:
      return {
          "handshake_cut", fmt::format("the TLS handshake with {} is cut off", facts.where()),
          facts.tls_detail,
          fmt::format("ask the owner of the firewall whether it inspects TLS and blocks the name {}; then "
                      "ask the provider",
                      facts.host)};
    case TlsOutcome::NotTried:
    case TlsOutcome::Done:
    case TlsOutcome::NotTls:
    case TlsOutcome::Failed:
      break;
  }
  return not_a_gateway(facts, facts.tls_detail);
}

std::optional<std::chrono::seconds> ahead_of_gateway(const GatewayFacts& facts) {
  const auto time = facts.reply ? facts.reply->time() : std::nullopt;
  if (!time) return std::nullopt;
  const auto ahead = facts.asked_at - *time;
  if (ahead < kClockTolerance && -ahead < kClockTolerance) return std::nullopt;
  return ahead;
}

Finding clock_skew(const GatewayFacts& facts, std::chrono::seconds ahead) {
  const auto time = facts.reply->time();
  return {"clock_skew",
          fmt::format("this machine's clock is {} s {}", std::abs(ahead.count()),
                      ahead.count() > 0 ? "ahead" : "behind"),
          fmt::format("here it is {}, at the gateway {}", certs::utc_text(facts.asked_at),
                      certs::utc_text(*time)),
          "set this machine's clock (timedatectl set-ntp true); if it is right, tell the provider"};
}

/// Our own authorities name what they are for; a box that signs for every name does not.
bool by_a_culvert_authority(const std::string& issuer) {
  return issuer.find(": " + std::string{certs::purpose_name(certs::Purpose::Server)}) != std::string::npos;
}

Finding untrusted(const GatewayFacts& facts, const PresentedCertificate& shown) {
  const std::string evidence =
      fmt::format("certificate of '{}', signed by '{}'{}", shown.subject, shown.issuer,
                  shown.issuer_thumbprint.empty() ? "" : " (SHA-256 " + shown.issuer_thumbprint + ")");
  if (shown.names_host && !shown.self_signed && !by_a_culvert_authority(shown.issuer)) {
    return {
        "tls_interception",
        fmt::format("TLS is intercepted: the certificate for {} is signed by '{}', which this agent does "
                    "not trust",
                    facts.host, shown.issuer),
        evidence,
        fmt::format("have {} exempted from TLS inspection; if the provider did change its authority, join "
                    "again",
                    facts.host)};
  }
  return {"wrong_ca", "the certificate is of another authority than the one this agent trusts", evidence,
          "check gateway_url and [trust] in agent.toml; if the provider made new authorities, join again"};
}

Finding not_believed(const GatewayFacts& facts, const PresentedCertificate& shown) {
  // A gateway redirects nobody; a portal with a certificate of its own does, also to itself.
  const bool redirected = facts.reply && facts.reply->redirects();
  if (redirected || (facts.reply && is_captive(*facts.reply, facts.host)))
    return captive_portal(*facts.reply);
  const Error& verdict = *shown.verdict;
  const std::string tell_provider = "ask the provider to renew the gateway's certificate";
  switch (verdict.code()) {
    case Errc::TlsExpired:
      return {"certificate_expired", "the gateway's certificate has expired", verdict.message(),
              tell_provider};
    case Errc::TlsNotYetValid:
      return {"certificate_not_yet_valid", "the gateway's certificate is not valid yet", verdict.message(),
              "compare this machine's clock with another one; if it is right, " + tell_provider};
    case Errc::TlsWrongName:
      return {"wrong_name", "the certificate is for another name than the gateway's", verdict.message(),
              "use one of its names in gateway_url, or ask the provider for a certificate with this name"};
    case Errc::TlsThumbprintMismatch:
      return {"thumbprint_mismatch", "the certificate is not the pinned one",
              fmt::format("{} (signed by '{}')", verdict.message(), shown.issuer),
              "ask the provider for the thumbprint of today's certificate; if it is the pinned one, TLS is "
              "intercepted"};
    default:
      return untrusted(facts, shown);
  }
}

/// Out of its time by this machine's clock, and not by the gateway's.
bool is_clocks_fault(const GatewayFacts& facts, const PresentedCertificate& shown) {
  const Errc code = shown.verdict->code();
  if (code != Errc::TlsExpired && code != Errc::TlsNotYetValid) return false;
  const auto time = facts.reply->time();
  return *time >= shown.not_before && *time <= shown.not_after;
}

/// Whether renewal is late: programs that renew certificates do so by the last third of their life at the
/// latest.
bool ends_soon(const PresentedCertificate& shown, certs::UtcTime now) {
  const auto left = shown.not_after - now;
  return left >= certs::Lifetime{} && left < kGatewayCertificateWarning &&
         left < (shown.not_after - shown.not_before) / 3;
}

Finding gateway_certificate_ends_soon(const PresentedCertificate& shown, certs::UtcTime now) {
  const auto days = std::chrono::duration_cast<std::chrono::hours>(shown.not_after - now).count() / 24;
  return {"gateway_certificate_ends_soon",
          days == 0 ? std::string{"the gateway's certificate ends within a day"}
                    : fmt::format("the gateway's certificate ends in {} day{}", days, days == 1 ? "" : "s"),
          fmt::format("it ends at {}, now it is {}", certs::utc_text(shown.not_after), certs::utc_text(now)),
          "tell the provider, who has to renew it: a gateway does not by itself; nothing is to be done here",
          /*note=*/true};
}

}  // namespace

std::vector<Finding> conclude_gateway(const GatewayFacts& facts) {
  if (facts.proxy_error) return {not_through_proxy(facts)};
  if (!facts.resolve_error.empty()) {
    return {{"name_unresolved", fmt::format("the gateway's name {} does not resolve", facts.host),
             facts.resolve_error,
             "check the name in gateway_url and this machine's DNS (/etc/resolv.conf, /etc/hosts)"}};
  }
  if (facts.proxy.empty() && !any(facts, Reach::Connected)) {
    if (facts.port_80_reply && is_captive(*facts.port_80_reply, facts.host))
      return {captive_portal(*facts.port_80_reply, seen_addresses(facts) + "; on port 80 ")};
    return {not_reached(facts)};
  }
  if (facts.tls != TlsOutcome::Done) return {no_tls(facts)};
  const auto ahead = ahead_of_gateway(facts);
  std::vector<Finding> findings;
  if (facts.certificate && facts.certificate->verdict) {
    const bool only_the_clock = ahead && is_clocks_fault(facts, *facts.certificate);
    if (!only_the_clock) findings.push_back(not_believed(facts, *facts.certificate));
  } else if (facts.tls_version != "TLSv1.3") {
    findings.push_back(
        not_a_gateway(facts, "it offers " + facts.tls_version + " and gateways speak TLS 1.3 only"));
  } else if (!facts.reply && facts.silent_after_tls) {
    findings.push_back({"gateway_fell_silent",
                        fmt::format("{} proves who it is and then says nothing", facts.where()),
                        "TLS came about, and GET /tunnel/v1/health has no answer within a second",
                        "look again; if it stays so, ask the provider whether the gateway hangs"});
  } else if (!facts.reply) {
    findings.push_back(not_a_gateway(facts, "it gave no HTTP answer to GET /tunnel/v1/health"));
  } else if (is_captive(*facts.reply, facts.host)) {
    findings.push_back(captive_portal(*facts.reply));
  } else if (!facts.reply->is_gateway_health()) {
    findings.push_back(not_a_gateway(facts, seen_reply(*facts.reply)));
  }
  const bool believed = findings.empty() && facts.certificate && !facts.certificate->verdict;
  if (ahead) findings.push_back(clock_skew(facts, *ahead));
  if (believed) {
    // A wrong clock here shall not blame the certificate.
    const certs::UtcTime now = ahead ? *facts.reply->time() : facts.asked_at;
    if (ends_soon(*facts.certificate, now))
      findings.push_back(gateway_certificate_ends_soon(*facts.certificate, now));
  }
  return findings;
}

std::optional<certs::UtcTime> better_time(const GatewayFacts& facts) {
  // What a portal has in its Date header is nobody's time.
  if (!ahead_of_gateway(facts) || !facts.reply->is_gateway_health()) return std::nullopt;
  return facts.reply->time();
}

}  // namespace culvert
