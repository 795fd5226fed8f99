// One REST call as values: no socket, no HTTP library. The front fills ApiRequest and writes ApiResponse.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cloud-gateway/control/policy.hpp"
#include "tunnel-core/base/error.hpp"

namespace culvert {

/// docs/rest-api.md: bodies are at most this long. The front stops reading there and still asks the router,
/// which answers 413.
constexpr std::size_t kMaxApiBody = 64 * 1024;

struct ApiRequest {
  std::string method;  ///< As it came: `GET`.
  std::string path;    ///< The request target: path and, if there, `?query`.
  std::string body;
  bool body_too_large = false;  ///< The front saw more than kMaxApiBody, by length or by counting.
  std::string peer_address;     ///< Without the port.
  std::optional<SiteCertificate> identity;  ///< Of a verified client certificate; absent: anonymous.
  std::string request_id;                   ///< 16 hexadecimal digits, made by the front (new_request_id()).
};

struct ApiResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;  ///< Beside the content's type and length.
  nlohmann::json body;                                       ///< Null: no body (204).

  std::string body_text() const;  ///< Empty without a body.
};

/// 16 random hexadecimal digits.
std::string new_request_id();

/// The answer of docs/rest-api.md §2 for an error. 5xx answers carry no inner detail: that is for the log,
/// under the same request id.
ApiResponse error_response(const Error& error, const std::string& request_id);
ApiResponse error_response(int status, const Error& error, const std::string& request_id);

/// The HTTP status for an error.
int http_status(Errc code);

}  // namespace culvert
