// An HTTP answer of anybody: only what conclusions need.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "certs/utc_time.hpp"

namespace culvert {

struct HttpReply {
  int status = 0;
  std::string location;  ///< Header fields as they came; empty when absent.
  std::string server;
  std::string date;
  std::string content_type;
  std::string body;  ///< As much as was read.

  bool closes = false;        ///< HTTP/1.0, or Connection: close.
  bool from_gateway = false;  ///< It has Culvert-Request-Id, which gateways give to every answer.

  bool is_gateway_health() const;  ///< 200 with the object of docs/rest-api.md.
  /// The answerer's clock: `time` of a gateway's health, else the Date header.
  std::optional<certs::UtcTime> time() const;
  bool redirects() const { return status >= 301 && status <= 308; }
  /// A page to log in at: HTML with a form, or one that leads on by itself.
  bool is_login_page() const;
  std::string host_of_location() const;  ///< Lower case, without port; empty when it names none.
};

/// @return nothing when the bytes do not begin with the whole head of an HTTP answer.
std::optional<HttpReply> parse_http_reply(std::string_view bytes);

}  // namespace culvert
