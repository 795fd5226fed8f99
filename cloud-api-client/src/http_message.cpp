#include "cloud-api-client/src/http_message.hpp"

#include <algorithm>
#include <charconv>

namespace culvert::cloud_api {

std::optional<std::chrono::seconds> parse_retry_after(const std::string& value) {
  unsigned seconds = 0;
  const char* const end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, seconds);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return std::chrono::seconds{std::min(seconds, 86'400U)};
}

Error reply_too_large(const std::string& gateway) {
  return Error{Errc::ReplyInvalid,
               "the reply is larger than 1 MiB; check that " + gateway + " is a Culvert gateway"};
}

Error reply_late(const std::string& gateway) {
  return Error{Errc::TimedOut, gateway + " did not answer in time; check its load and the way to it"};
}

Error not_http(const std::string& gateway, const std::string& why) {
  return Error{Errc::ReplyInvalid,
               "what answered is not HTTP (" + why + "); check that " + gateway + " is a Culvert gateway"};
}

Error not_tls(const std::string& gateway, const char* why) {
  return Error{Errc::TlsFailed, gateway + " does not speak TLS 1.3 as a gateway does (" +
                                    (why == nullptr ? "no reason given" : why) + "); check host and port"};
}

Error closed_early(const std::string& gateway) {
  return Error{Errc::Unreachable, gateway +
                                      " closed the connection before it answered; it may be restarting, or "
                                      "something on the way cuts connections"};
}

}  // namespace culvert::cloud_api
