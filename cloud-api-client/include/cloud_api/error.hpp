// Which of the project's errors a call can return, and what a caller may conclude from them.
//
//   the way there   NameUnresolved  ConnectionRefused  Unreachable  TimedOut
//   a proxy         ProxyUnauthorized (407)  ProxyRefused (it forbids the gateway)
//   TLS             TlsUntrusted  TlsThumbprintMismatch  TlsWrongName  TlsExpired  TlsNotYetValid  TlsFailed
//   refusals        Unauthorized (401, or our certificate refused in the handshake)  Forbidden (403) Conflict
//   (409)
//                   NotFound (404)  UnknownSession  UsageInvalid (400, 405, 413)
//                   JoiningStringInvalid  JoiningStringExpired
//   the other end   ServerFailed (429 and 5xx)  ReplyInvalid (not an answer of a gateway)
//   ourselves       Cancelled  ConfigInvalid (in Client::create)
#pragma once

#include "tunnel-core/base/error.hpp"

namespace culvert::cloud_api {

/// True when the same call may succeed later without anybody changing anything: a gateway that restarts, a
/// path that is down. False for refusals and for everything that a person has to mend.
bool may_pass(Errc code);

}  // namespace culvert::cloud_api
