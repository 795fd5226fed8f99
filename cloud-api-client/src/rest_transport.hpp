// One HTTP exchange with the gateway over TLS. The only place that knows cpprest is rest_transport.cpp.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "cloud-api-client/include/cloud_api/gateway_url.hpp"
#include "cloud-api-client/src/tls_policy.hpp"
#include "cloud-api-client/src/wake.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::cloud_api {

struct HttpRequest {
  std::string method;
  std::string path;  ///< Begins with '/', already encoded.
  std::string body;  ///< JSON, or empty for none.
};

struct HttpReply {
  int status = 0;
  std::string body;
  std::optional<std::chrono::seconds> retry_after;
};

constexpr std::size_t kMaxReplyBytes = 1 << 20;  ///< 1,000 streams as JSON are about 200 KiB.

class RestTransport {
 public:
  /// @param proxy  where CONNECT goes, nullopt for the direct way.
  RestTransport(GatewayUrl gateway, TlsPolicy tls, std::optional<GatewayUrl> proxy, std::string user_agent);

  /// Every exchange is a connection of its own: calls are rare, and nothing is left open at the gateway.
  /// @return any reply that is HTTP, whatever its status. @error those of error.hpp up to the TLS ones,
  /// ReplyInvalid.
  Result<HttpReply> exchange(const HttpRequest& request, Instant deadline, const Wake& cancelled);

 private:
  GatewayUrl gateway_;
  TlsPolicy tls_;
  std::optional<GatewayUrl> proxy_;
  std::string user_agent_;
};

}  // namespace culvert::cloud_api
