#include "tunnel-agent/doctor/path_probe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <thread>

#include "tunnel-agent/doctor/tls_probe.hpp"

namespace culvert {

namespace {

constexpr Duration kStep = 1500ms;  ///< For TCP, for TLS and for an answer, each.
constexpr Duration kSettled = 500ms;
constexpr std::size_t kPadding = 7000;  ///< The gateway takes heads of 8 KiB; four full segments.
constexpr Duration kIdle[] = {1500ms, 3s, 4500ms};

Instant in(Duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

/// A TLS connection to the gateway that has been made, or nothing.
struct Connection {
  UniqueFd fd;
  std::optional<TlsProbe> tls;

  Connection(const ProbeWay& way, int max_segment = 0) : fd(way.dial(in(kStep), max_segment)) {
    if (!fd) return;
    tls.emplace(way.host, fd.value(), in(kStep));
    tls->handshake();
    if (tls->outcome() != TlsOutcome::Done) tls.reset();
  }
};

std::string lane_request(const std::string& host, bool websocket) {
  const std::string authority = host.find(':') == std::string::npos ? host : "[" + host + "]";
  const char* const upgrade = websocket ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                          "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                                          "Sec-WebSocket-Protocol: culvert.1\r\n"
                                        : "Upgrade: culvert/1\r\n";
  return "GET /tunnel/v1/sessions/0000000000000000/lanes HTTP/1.1\r\nHost: " + authority +
         "\r\nConnection: Upgrade\r\n" + upgrade + "\r\n";
}

void probe_upgrade(const ProbeWay& way, PathFacts& facts) {
  Connection connection{way};
  if (!connection.tls) return;
  const std::string bytes = connection.tls->exchange(lane_request(way.host, false), in(kStep));
  facts.upgrade_reply = parse_http_reply(bytes);
  facts.upgrade_swallowed = bytes.empty() && !connection.tls->was_closed();
  const bool from_gateway = facts.upgrade_reply && facts.upgrade_reply->from_gateway;
  if (from_gateway || (!facts.upgrade_reply && !facts.upgrade_swallowed)) return;
  Connection other{way};
  if (!other.tls) return;
  const auto reply = parse_http_reply(other.tls->exchange(lane_request(way.host, true), in(kStep)));
  facts.websocket_passes = reply && reply->from_gateway;
}

/// True when a large request is answered. Nothing where that cannot be asked.
std::optional<bool> large_passes(const ProbeWay& way, int max_segment) {
  Connection connection{way, max_segment};
  if (!connection.tls) return std::nullopt;
  const std::string padding = "X-Padding: " + std::string(kPadding, 'x') + "\r\n";
  const std::string bytes = connection.tls->exchange(health_request(way.host, false, padding), in(kStep));
  if (bytes.empty() && connection.tls->was_closed()) return std::nullopt;
  return parse_http_reply(bytes).has_value();
}

bool loses_large(const ProbeWay& way) {
  if (!way.address) return false;  // A proxy's own way to the gateway is the proxy's affair.
  const auto usual = large_passes(way, 0);
  if (!usual || *usual) return false;
  const auto small = large_passes(way, kSmallSegment);
  return small && *small;
}

IdleFact leave_idle(const ProbeWay& way, Duration idle) {
  IdleFact fact{idle};
  Connection connection{way};
  if (!connection.tls) return fact;
  const auto first = parse_http_reply(connection.tls->exchange(health_request(way.host, true), in(kStep)));
  if (!first || !first->is_gateway_health() || first->closes) return fact;
  std::this_thread::sleep_for(idle);
  const std::string bytes = connection.tls->exchange(health_request(way.host), in(kStep));
  fact.tried = !connection.tls->was_closed();
  fact.cut = fact.tried && !parse_http_reply(bytes);
  fact.silent = fact.cut && !connection.tls->was_cut();
  return fact;
}

/// The control: does the gateway still answer anybody?
bool fresh_answers(const ProbeWay& way) {
  const Instant until = in(kStep);
  const UniqueFd fd = way.dial(until);
  if (!fd) return false;
  TlsProbe tls{way.host, fd.value(), until};
  tls.handshake();
  return tls.outcome() == TlsOutcome::Done && parse_http_reply(tls.exchange(health_request(way.host), until));
}

}  // namespace

PathFacts probe_path(const ProbeWay& way, Duration patience) {
  PathFacts facts;
  facts.where = way.host + ":" + std::to_string(way.port);
  std::vector<std::future<IdleFact>> waiting;
  for (const Duration idle : kIdle) {
    // Three steps to get there, one for the answer.
    if (idle + kStep * 2 + kSettled > patience) break;
    waiting.push_back(std::async(std::launch::async, leave_idle, std::cref(way), idle));
  }
  auto large = std::async(std::launch::async, loses_large, std::cref(way));
  probe_upgrade(way, facts);
  facts.large_lost = large.get();
  for (auto& fact : waiting) facts.idle.push_back(fact.get());
  const bool fell_silent = facts.upgrade_swallowed ||
                           std::ranges::any_of(facts.idle, [](const IdleFact& fact) { return fact.silent; });
  facts.gateway_silent = fell_silent && !fresh_answers(way);
  return facts;
}

Finding mtu_hole(const std::string& where, const std::string& seen) {
  return {"mtu_hole", fmt::format("large segments on the way to {} are lost: a path MTU hole", where), seen,
          "have the owner of the network let ICMP \"fragmentation needed\" pass, or lower the MTU here until "
          "it works "
          "(ip link set dev DEV mtu 1400), as VPN and PPPoE links often need"};
}

std::vector<Finding> conclude_path(const PathFacts& facts) {
  std::vector<Finding> findings;
  const bool by_stranger = facts.upgrade_reply && !facts.upgrade_reply->from_gateway &&
                           (facts.upgrade_reply->status < 502 || facts.upgrade_reply->status > 504);
  if (by_stranger || (facts.upgrade_swallowed && !facts.gateway_silent)) {
    Finding finding{
        "upgrade_refused", "a middlebox refuses the upgrade that lanes need",
        by_stranger ? fmt::format("somebody before {} answered it with HTTP status {}{}", facts.where,
                                  facts.upgrade_reply->status,
                                  facts.upgrade_reply->server.empty()
                                      ? ""
                                      : " (server '" + facts.upgrade_reply->server + "')")
                    : "no byte came back, where other requests are answered",
        "have the owner of proxy or load balancer pass Upgrade: culvert/1 untouched, or TLS as a whole"};
    if (facts.site_refused) {
      // Who reads the request ends TLS, and with it both proofs of who this site is.
      finding.evidence += "; it ends TLS itself, so that the gateway does not see which site asks";
      if (!facts.signer.empty()) finding.evidence += ", with a certificate signed by '" + facts.signer + "'";
      finding.advice = "have the owner of proxy or load balancer pass TLS to the gateway as a whole";
    } else if (facts.websocket_passes) {
      finding.note = true;
      finding.evidence += "; WebSocket passes, and lanes go by it";
    }
    findings.push_back(std::move(finding));
  }
  if (facts.large_lost)
    findings.push_back(
        mtu_hole(facts.where, "a request of 7 KB got no answer, the same in segments of 536 bytes did"));
  if (facts.gateway_silent) {
    findings.push_back(
        {"gateway_fell_silent", fmt::format("{} stopped answering during this look", facts.where),
         "it answered at first; later neither a connection that stood nor a fresh one got an "
         "answer in 1.5 s",
         "look again; if it stays so, ask the provider whether the gateway hangs, and the owner of "
         "the firewall whether it shuts this machine out after a few connections"});
    return findings;
  }
  const auto first_cut =
      std::find_if(facts.idle.begin(), facts.idle.end(), [](const IdleFact& fact) { return fact.cut; });
  // A cut that longer waits do not confirm was an accident.
  const bool confirmed =
      std::all_of(first_cut, facts.idle.end(), [](const IdleFact& fact) { return fact.cut; });
  if (first_cut != facts.idle.end() && confirmed) {
    const double seconds = std::chrono::duration<double>(first_cut->idle).count();
    findings.push_back(
        {"idle_cut", fmt::format("idle connections are cut after at most {:.1f} s", seconds),
         fmt::format("one that was left idle for {:.1f} s {}{}", seconds,
                     first_cut->silent ? "got no answer any more" : "was ended by something on the way",
                     first_cut == facts.idle.begin()
                         ? ""
                         : fmt::format(", one of {:.1f} s still did",
                                       std::chrono::duration<double>(std::prev(first_cut)->idle).count())),
         "have the owner of the NAT or firewall raise its timeout for TCP; lanes say something every 0.5 s, "
         "other "
         "programs do not"});
  }
  return findings;
}

}  // namespace culvert
