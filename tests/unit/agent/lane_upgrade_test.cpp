#include "tunnel-agent/lane_upgrade.hpp"

#include <catch2/catch.hpp>

#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/net/websocket_framing.hpp"

using namespace culvert;
namespace http = boost::beast::http;

namespace {

UpgradeRequest some_request() {
  UpgradeRequest request;
  request.host = "gw.example.net";
  request.session = SessionId{0x4d2};
  request.hello = {kProtocolVersion, 3, LaneId{2}, 64_MiB, {}};
  return request;
}

UpgradeReply reply(unsigned status, const std::string& request_id = {}) {
  UpgradeReply reply{static_cast<http::status>(status), 11};
  if (!request_id.empty()) reply.set("Culvert-Request-Id", request_id);
  return reply;
}

}  // namespace

// docs/protocol.md §3.1 and §3.4
TEST_CASE("Upgrade: the request is that of docs/protocol.md, for both carriers", "[agent]") {
  UpgradeRequest request = some_request();
  const std::string text = request.to_text();
  CHECK(text.starts_with(
      "GET /tunnel/v1/sessions/00000000000004d2/lanes HTTP/1.1\r\nHost: gw.example.net\r\n"));
  CHECK(text.find("\r\nUpgrade: culvert/1\r\n") != std::string::npos);
  CHECK(text.find("Culvert-Site-Proof") == std::string::npos);
  CHECK(text.ends_with("\r\n\r\n"));
  CHECK(text.size() < 400);

  request.websocket_key = new_websocket_key();
  request.site_proof = "AA.BB";
  const std::string other = request.to_text();
  CHECK(other.find("\r\nUpgrade: websocket\r\n") != std::string::npos);
  CHECK(other.find("\r\nSec-WebSocket-Key: " + request.websocket_key + "\r\n") != std::string::npos);
  CHECK(other.find("\r\nCulvert-Site-Proof: AA.BB\r\n") != std::string::npos);
  CHECK(other.find("culvert/1") == std::string::npos);
}

TEST_CASE("Upgrade: a 101 has to be the one that was asked for", "[agent]") {
  UpgradeRequest request = some_request();
  const std::string hello = to_hex(encode_hello(request.hello));
  UpgradeReply granted = reply(101);
  granted.set("Upgrade", "culvert/1");
  CHECK_FALSE(hello_of(granted, request));
  granted.set("Culvert-Hello", hello);
  REQUIRE(hello_of(granted, request));
  CHECK(hello_of(granted, request)->lane == LaneId{2});

  request.websocket_key = "dGhlIHNhbXBsZSBub25jZQ==";
  CHECK_FALSE(hello_of(granted, request));
  granted.set("Upgrade", "WebSocket");
  CHECK_FALSE(hello_of(granted, request));
  granted.set("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK(hello_of(granted, request));
}

TEST_CASE("Upgrade: only the gateway itself can end a session or raise an epoch", "[agent]") {
  CHECK(refusal_of(reply(404, "aa")).code() == Errc::UnknownSession);
  CHECK(refusal_of(reply(404)).code() == Errc::ReplyInvalid);
  CHECK(refusal_of(reply(409, "aa")).code() == Errc::EpochInvalid);
  CHECK(refusal_of(reply(401, "aa")).code() == Errc::Unauthorized);
  UpgradeReply revoked = reply(401);
  revoked.body() = R"({"error": {"code": "access_revoked", "message": "the site was removed"}})";
  CHECK(refusal_of(revoked).code() == Errc::ReplyInvalid);
  revoked.set("Culvert-Request-Id", "aa");
  CHECK(refusal_of(revoked).code() == Errc::AccessRevoked);
  CHECK(refusal_of(reply(409)).code() == Errc::ReplyInvalid);
  CHECK(refusal_of(reply(503)).code() == Errc::ServerFailed);
  CHECK(refusal_of(reply(403)).text().find("something between") != std::string::npos);
}

TEST_CASE("Upgrade: a stranger's refusal blames the carrier, a front without gateway does not", "[agent]") {
  CHECK(blames_carrier(reply(403)));
  CHECK(blames_carrier(reply(200)));
  CHECK(blames_carrier(reply(426)));
  CHECK(blames_carrier(reply(501)));
  CHECK_FALSE(blames_carrier(reply(502)));
  CHECK_FALSE(blames_carrier(reply(503)));
  CHECK_FALSE(blames_carrier(reply(504)));
  CHECK(blames_carrier(reply(400, "aa")));
  CHECK_FALSE(blames_carrier(reply(401, "aa")));
  CHECK_FALSE(blames_carrier(reply(404, "aa")));
}
