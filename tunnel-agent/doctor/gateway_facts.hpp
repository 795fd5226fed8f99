// What was seen on the way to the gateway. The probe fills it, the conclusions read it: neither knows the
// other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "certs/utc_time.hpp"
#include "tunnel-agent/doctor/http_reply.hpp"
#include "tunnel-agent/doctor/probe_address.hpp"
#include "tunnel-agent/doctor/tls_probe.hpp"
#include "tunnel-core/base/error.hpp"

namespace culvert {

struct AddressFact {
  std::string address;  ///< "192.0.2.7:443".
  Reach reach = Reach::Silent;
  std::string detail;
  bool turned_back = false;  ///< Another machine on the way said so: it got there.
  bool absent = false;       ///< It is of the local network, and nothing answers at it.
};

/// What the other end presented, and what certs/verification says to it.
struct PresentedCertificate {
  std::string subject;
  std::string issuer;
  std::string issuer_thumbprint;  ///< Empty when the issuer was not presented.
  bool self_signed = false;
  bool names_host = false;
  certs::UtcTime not_before{};
  certs::UtcTime not_after{};
  std::optional<Error> verdict;  ///< Nothing: believed.
};

struct GatewayFacts {
  std::string host;
  std::uint16_t port = 443;
  std::string proxy;                    ///< The proxy on the way, "p.lan:3128"; empty: none.
  std::optional<Error> proxy_error;     ///< Why there is no way through it.
  std::string resolve_error;            ///< Empty: the name resolves.
  std::vector<AddressFact> addresses;   ///< In the resolver's order.
  std::optional<ProbeAddress> reached;  ///< The first that connects; nothing by way of a proxy.
  TlsOutcome tls = TlsOutcome::NotTried;
  std::string tls_version;  ///< "TLSv1.3".
  std::string tls_detail;
  std::optional<PresentedCertificate> certificate;
  std::optional<HttpReply> reply;          ///< To GET health, over TLS.
  std::optional<HttpReply> plain_reply;    ///< The same without TLS, asked only where TLS failed.
  std::optional<HttpReply> port_80_reply;  ///< The same on port 80, asked only where nothing connects.
  certs::UtcTime asked_at{};               ///< This machine's clock when the reply came.
  bool silent_after_tls = false;           ///< No byte came to GET health, and no end.
  bool only_small_pass = false;            ///< TLS failed, and came about with small segments.

  std::string where() const { return host + ":" + std::to_string(port); }
};

}  // namespace culvert
