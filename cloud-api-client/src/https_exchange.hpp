// One HTTP exchange with our own TLS on a connection that stands: for the ways on which cpprest cannot go, by
// an HTTP proxy and with the site's proof in place of its certificate (docs/adr/0010).
#pragma once

#include "cloud-api-client/include/cloud_api/gateway_url.hpp"
#include "cloud-api-client/src/dialer.hpp"
#include "cloud-api-client/src/http_message.hpp"
#include "cloud-api-client/src/tls_policy.hpp"

namespace culvert::cloud_api {

/// @error those of error.hpp from TLS on, TimedOut, Cancelled, Unreachable, ReplyInvalid.
HttpAttempt exchange_https(DialedSocket connection, const GatewayUrl& gateway, const TlsPolicy& tls,
                           const HttpRequest& request, const std::string& user_agent, const HttpTimes& times,
                           const Wake& cancelled);

}  // namespace culvert::cloud_api
