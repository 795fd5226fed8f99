// A request to the gateway and its reply, as values, and the sentences for replies that are none.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/time.hpp"

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

struct HttpTimes {
  Instant handshake_until;  ///< At the latest `deadline`.
  Instant deadline;
};

/// One request on one connection.
struct HttpAttempt {
  Result<HttpReply> reply;
  /// TLS did not come to what we asked for: the gateway knows nobody behind this connection.
  bool failed_in_handshake = false;
};

constexpr std::size_t kMaxReplyBytes = 1 << 20;  ///< 1,000 streams as JSON are about 200 KiB.

/// The value of Retry-After when it is a number of seconds, at most a day.
std::optional<std::chrono::seconds> parse_retry_after(const std::string& value);

Error reply_too_large(const std::string& gateway);
Error reply_late(const std::string& gateway);
Error not_http(const std::string& gateway, const std::string& why);
Error not_tls(const std::string& gateway, const char* why);
Error closed_early(const std::string& gateway);

}  // namespace culvert::cloud_api
