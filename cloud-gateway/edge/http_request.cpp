#include "cloud-gateway/edge/http_request.hpp"

#include <boost/beast/http/rfc7230.hpp>

#include "cloud-gateway/api/api_router.hpp"

namespace culvert {
namespace {

namespace http = boost::beast::http;

std::string text_of(boost::beast::string_view view) {
  return {view.data(), view.size()};
}

}  // namespace

void limit_request(HttpRequestParser& parser) {
  parser.header_limit(kMaxHttpHead);
  parser.body_limit(kMaxApiBody);
}

bool asks_for_lane(const HttpRequest& message) {
  return ApiRouter::is_lane_request(text_of(message.method_string()), text_of(message.target()));
}

LaneRequest lane_request(const HttpRequest& message, bool bytes_behind, const SiteCertificate& identity,
                         const std::string& request_id) {
  return {text_of(message.target()),
          text_of(message[http::field::upgrade]),
          http::token_list{message[http::field::connection]}.exists("upgrade"),
          text_of(message[http::field::sec_websocket_key]),
          text_of(message[http::field::sec_websocket_version]),
          text_of(message["Culvert-Hello"]),
          bytes_behind,
          identity,
          request_id};
}

ApiRequest api_request(const HttpRequest& message, bool too_large, const std::string& peer,
                       const std::optional<SiteCertificate>& identity, const std::string& request_id) {
  ApiRequest request;
  request.method = text_of(message.method_string());
  request.path = text_of(message.target());
  request.body = message.body();
  request.body_too_large = too_large;
  request.peer_address = peer;
  request.identity = identity;
  request.request_id = request_id;
  return request;
}

}  // namespace culvert
