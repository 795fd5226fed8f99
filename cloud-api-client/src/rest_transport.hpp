// One HTTP exchange with the gateway over TLS. The only place that knows cpprest is rest_transport.cpp.
#pragma once

#include <memory>
#include <string>

#include "cloud-api-client/include/cloud_api/gateway_url.hpp"
#include "cloud-api-client/include/cloud_api/identity_memory.hpp"
#include "cloud-api-client/include/cloud_api/proxy_connector.hpp"
#include "cloud-api-client/include/cloud_api/wake.hpp"
#include "cloud-api-client/src/dialer.hpp"
#include "cloud-api-client/src/http_message.hpp"
#include "cloud-api-client/src/tls_policy.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::cloud_api {

class RestTransport {
 public:
  /// @param proxy     null for the direct way.
  /// @param identity  how a site proves who it is; shared with the lanes.
  RestTransport(GatewayUrl gateway, TlsPolicy tls, std::shared_ptr<ProxyConnector> proxy,
                std::shared_ptr<IdentityMemory> identity, std::string user_agent);

  /// Every exchange is a connection of its own: calls are rare, and nothing is left open at the gateway.
  /// @return any reply that is HTTP, whatever its status. @error those of error.hpp up to the TLS ones,
  /// ReplyInvalid.
  Result<HttpReply> exchange(const HttpRequest& request, Instant deadline, const Wake& cancelled);

 private:
  using Attempt = HttpAttempt;
  using Times = HttpTimes;

  Attempt attempt(const HttpRequest& request, const TlsPolicy& tls, Duration patience, Instant deadline,
                  const Wake& cancelled);
  Attempt by_cpprest(const HttpRequest& request, DialedSocket connection, const Times& times,
                     const Wake& cancelled);
  Result<DialedSocket> connect(Instant deadline, const Wake& cancelled) const;

  GatewayUrl gateway_;
  TlsPolicy tls_;
  std::shared_ptr<ProxyConnector> proxy_;  ///< Shared with whoever else goes through this proxy.
  std::shared_ptr<IdentityMemory> identity_;
  std::string user_agent_;
};

}  // namespace culvert::cloud_api
