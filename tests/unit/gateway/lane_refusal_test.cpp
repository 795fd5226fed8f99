// The words a lane's request is refused with, as they stand on the wire.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "cloud-gateway/edge/lane_admission.hpp"
#include "tunnel-core/daemon/process.hpp"

namespace culvert {

using nlohmann::json;

namespace {

LaneRequest with_hello(std::uint8_t version) {
  Hello hello{version, 1, LaneId{1}, 1_MiB, {}};
  LaneRequest request;
  request.hello_hex = to_hex(encode_hello(hello));
  request.request_id = "0123456789abcdef";
  return request;
}

json body_of(const std::string& text) {
  return json::parse(text.substr(text.find("\r\n\r\n") + 4));
}

}  // namespace

TEST_CASE("Lane refusal: what passes by itself says when to come again", "[edge]") {
  const auto [code, top] = GENERATE(table<Errc, std::string>({
      {Errc::LaneLimitReached, "HTTP/1.1 429 Too Many Requests\r\n"},
      {Errc::ShuttingDown, "HTTP/1.1 503 Service Unavailable\r\n"},
  }));
  const std::string text = http_refusal(error_response(Error{code, "not now"}, "0123456789abcdef"));
  INFO(text);
  CHECK_THAT(text, Catch::StartsWith(top) && Catch::Contains("\r\nRetry-After: 5\r\n") &&
                       Catch::Contains("\r\nCulvert-Request-Id: 0123456789abcdef\r\n"));
  const std::string body = text.substr(text.find("\r\n\r\n") + 4);
  CHECK_THAT(text, Catch::Contains("\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"));
  CHECK(body_of(text)["error"]["code"] == errc_name(code));
}

TEST_CASE("Lane refusal: what stays as it is does not say when to come again", "[edge]") {
  const auto [code, top] = GENERATE(table<Errc, std::string>({
      {Errc::UnknownSession, "HTTP/1.1 404 Not Found\r\n"},
      {Errc::Forbidden, "HTTP/1.1 403 Forbidden\r\n"},
  }));
  const std::string text = http_refusal(error_response(Error{code, "no"}, "0123456789abcdef"));
  CHECK_THAT(text, Catch::StartsWith(top) && !Catch::Contains("Retry-After"));
}

TEST_CASE("Lane refusal: a HELLO of another version is told the ones that are spoken", "[edge]") {
  const Error error{Errc::UsageInvalid, "protocol version 2 is not spoken here"};
  const json body = body_of(http_refusal(lane_refusal(with_hello(2), error)));
  CHECK(body["protocols"] == json::array({1}));
  CHECK(body["error"]["code"] == "usage_invalid");
  CHECK_FALSE(body_of(http_refusal(lane_refusal(with_hello(1), error))).contains("protocols"));
}

}  // namespace culvert
