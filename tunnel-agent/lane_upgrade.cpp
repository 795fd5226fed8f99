#include "tunnel-agent/lane_upgrade.hpp"

#include <fmt/format.h>

#include <boost/beast/core/string.hpp>
#include <nlohmann/json.hpp>

#include "certs/site_proof.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/net/websocket_framing.hpp"

namespace culvert {
namespace {

namespace http = boost::beast::http;

std::string header(const UpgradeReply& reply, boost::beast::string_view name) {
  const auto value = reply[name];
  return {value.data(), value.size()};
}

bool is_from_gateway(const UpgradeReply& reply) {
  return !header(reply, "Culvert-Request-Id").empty();
}

Errc errc_of_status(unsigned status) {
  switch (status) {
    case 401:
    case 403:
      return Errc::Unauthorized;
    case 404:
      return Errc::UnknownSession;
    case 409:
      return Errc::EpochInvalid;
    case 429:
      return Errc::LaneLimitReached;
    case 503:
      return Errc::ShuttingDown;
    default:
      return status >= 500 ? Errc::ServerFailed : Errc::ReplyInvalid;
  }
}

/// A text of the gateway's error object; empty where it gave none.
std::string error_text(const UpgradeReply& reply, const char* key) {
  const auto json = nlohmann::json::parse(reply.body(), nullptr, false);
  if (!json.is_object() || !json.contains("error") || !json["error"].is_object()) return {};
  const auto found = json["error"].find(key);
  return found != json["error"].end() && found->is_string() ? found->get<std::string>() : std::string{};
}

std::string reason_in(const UpgradeReply& reply) {
  const std::string message = error_text(reply, "message");
  return message.empty() ? "HTTP status " + std::to_string(reply.result_int()) : message;
}

/// Most codes say no more than the status does.
Errc errc_of(const UpgradeReply& reply) {
  const bool for_good =
      reply.result_int() == 401 && error_text(reply, "code") == errc_name(Errc::AccessRevoked);
  return for_good ? Errc::AccessRevoked : errc_of_status(reply.result_int());
}

}  // namespace

std::string UpgradeRequest::to_text() const {
  std::string text =
      fmt::format("GET /tunnel/v1/sessions/{:016x}/lanes HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n",
                  session.value, host);
  if (websocket_key.empty()) {
    text += "Upgrade: culvert/1\r\n";
  } else {
    text += "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + websocket_key +
            "\r\nSec-WebSocket-Protocol: culvert.1\r\n";
  }
  if (!site_proof.empty()) text += std::string{certs::kSiteProofHeader} + ": " + site_proof + "\r\n";
  return text + "Culvert-Hello: " + to_hex(encode_hello(hello)) + "\r\n\r\n";
}

Result<Hello> hello_of(const UpgradeReply& reply, const UpgradeRequest& request) {
  const bool websocket = !request.websocket_key.empty();
  if (!boost::beast::iequals(header(reply, "Upgrade"), websocket ? "websocket" : "culvert/1") ||
      (websocket && header(reply, "Sec-WebSocket-Accept") != websocket_accept(request.websocket_key))) {
    return Error{Errc::ReplyInvalid, "the answer to the upgrade is not what was asked for"};
  }
  const auto bytes = from_hex(header(reply, "Culvert-Hello"));
  if (!bytes) return Error{Errc::ReplyInvalid, "the answer to the upgrade has no valid Culvert-Hello"};
  auto hello = decode_hello(*bytes);
  if (!hello) return Error{Errc::ReplyInvalid, hello.error().message()};
  return hello;
}

Error refusal_of(const UpgradeReply& reply) {
  const std::string reason = reason_in(reply);
  if (is_from_gateway(reply)) {
    return {errc_of(reply), "the gateway refused the lane: " + reason};
  }
  // A stranger's 404 must not end a session that the gateway still knows.
  const Errc code = reply.result_int() >= 500 ? Errc::ServerFailed : Errc::ReplyInvalid;
  return {code, "something between here and the gateway refused the lane: " + reason +
                    "; it has to let the gateway's connections pass untouched"};
}

bool blames_carrier(const UpgradeReply& reply) {
  const unsigned status = reply.result_int();
  if (is_from_gateway(reply)) return status == 400;
  return status < 502 || status > 504;  // Those are a front whose gateway is down: not a refusal of ours.
}

}  // namespace culvert
