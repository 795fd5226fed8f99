// One HTTP request as the front understands it: values only, no socket. What a stranger sends is judged here
// first.
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <string>

#include "cloud-gateway/api/api_message.hpp"
#include "cloud-gateway/edge/lane_admission.hpp"

namespace culvert {

constexpr std::size_t kMaxHttpHead = 8 * 1024;

using HttpRequestParser = boost::beast::http::request_parser<boost::beast::http::string_body>;
using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;

/// Sets the limits on head and body (docs/rest-api.md).
void limit_request(HttpRequestParser& parser);

/// Does this ask for a lane, rather than for an answer?
bool asks_for_lane(const HttpRequest& message);

/// @param bytes_behind  something followed the request on the connection.
LaneRequest lane_request(const HttpRequest& message, bool bytes_behind, const SiteCertificate& identity,
                         const std::string& request_id);

/// @param too_large  the body was cut off at its limit; the router answers 413.
ApiRequest api_request(const HttpRequest& message, bool too_large, const std::string& peer,
                       const std::optional<SiteCertificate>& identity, const std::string& request_id);

}  // namespace culvert
