// One attempt to get through an HTTP proxy with one method of login. The only place that knows libcurl is
// connect_exchange.cpp: it does CONNECT and the logins, and never sees what goes through afterwards.
#pragma once

#include <string>
#include <vector>

#include "cloud-api-client/include/cloud_api/proxy.hpp"
#include "cloud-api-client/include/cloud_api/wake.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert::cloud_api {

struct ConnectOutcome {
  UniqueFd fd;                       ///< Set when the way stands.
  int status = 0;                    ///< Of the last answer to CONNECT; 0: none came.
  std::vector<std::string> offered;  ///< Methods of its Proxy-Authenticate headers: `Basic`, `NTLM`, …
  std::optional<Error> failure;      ///< Before any answer: dialling, time, cancellation.
  std::string said;                  ///< libcurl's view of what went wrong.
};

/// @param method  any but Auto.
ConnectOutcome exchange_connect(const ProxySettings& proxy, ProxyAuth method, const GatewayUrl& gateway,
                                Instant deadline, const Wake& cancelled);

}  // namespace culvert::cloud_api
