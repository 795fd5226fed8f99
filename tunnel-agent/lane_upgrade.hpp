// What a lane says in HTTP before its first frame, and what the gateway's answer means (docs/protocol.md §3).
// Texts and values only, no I/O.
#pragma once

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <string>

#include "cloud-api-client/include/cloud_api/identity_memory.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/net/lane_carrier.hpp"
#include "tunnel-core/wire/hello.hpp"

namespace culvert {

/// One of the ways in which a lane can be asked for.
struct LaneWay {
  cloud_api::IdentityBy identity = cloud_api::IdentityBy::Certificate;
  Carrier carrier = Carrier::Culvert;

  friend bool operator==(const LaneWay&, const LaneWay&) = default;
};

struct UpgradeRequest {
  std::string host;  ///< For the header Host.
  SessionId session{};
  Hello hello;
  std::string websocket_key;  ///< Not empty: by the WebSocket carrier.
  std::string site_proof;     ///< Not empty: identity without a client certificate.

  std::string to_text() const;
};

using UpgradeReply = boost::beast::http::response<boost::beast::http::string_body>;

/// The HELLO of a 101 that grants what was asked for; its proof is still to be checked.
/// @error ReplyInvalid.
Result<Hello> hello_of(const UpgradeReply& reply, const UpgradeRequest& request);

/// Why there is no lane, from any other answer.
/// @error UnknownSession, EpochInvalid, Unauthorized, AccessRevoked, ShuttingDown, ServerFailed,
/// ReplyInvalid.
Error refusal_of(const UpgradeReply& reply);

/// True when it was not the gateway that refused, or when what it saw of the request had lost its Upgrade:
/// another carrier may get through.
bool blames_carrier(const UpgradeReply& reply);

}  // namespace culvert
