#include "cloud-gateway/api/api_message.hpp"

#include "tunnel-core/daemon/process.hpp"

namespace culvert {

namespace {

/// When a refusal will pass by itself, the seconds after which asking again makes sense.
constexpr const char* kRetryAfterSeconds = "5";

/// docs/rest-api.md §2 names the codes a peer may see; all others become the one of their status.
Errc public_code(int status, Errc code) {
  switch (status) {
    case 400:
    case 405:
    case 413:
      return Errc::UsageInvalid;
    case 401:
      return code == Errc::JoiningStringInvalid || code == Errc::JoiningStringExpired ||
                     code == Errc::AccessRevoked
                 ? code
                 : Errc::Unauthorized;
    case 403:
      return Errc::Forbidden;
    case 404:
      return code == Errc::UnknownSession ? code : Errc::NotFound;
    case 409:
      return code == Errc::AlreadyExists || code == Errc::EpochInvalid ? code : Errc::Conflict;
    case 429:
    case 503:
      return code == Errc::StreamLimitReached || code == Errc::LaneLimitReached ? code
             : status == 429                                                    ? Errc::StreamLimitReached
                                                                                : Errc::ShuttingDown;
    default:
      return Errc::InternalError;
  }
}

}  // namespace

std::string ApiResponse::body_text() const {
  // Replace: a source's name that is no UTF-8 costs a question mark, not the reply.
  return body.is_null() ? std::string{} : body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string new_request_id() {
  return to_hex(random_bytes(8));
}

int http_status(Errc code) {
  switch (code) {
    case Errc::UsageInvalid:
    case Errc::CertificateInvalid:
    case Errc::KeyInvalid:
      return 400;
    case Errc::Unauthorized:
    case Errc::AccessRevoked:
    case Errc::JoiningStringInvalid:
    case Errc::JoiningStringExpired:
      return 401;
    case Errc::Forbidden:
      return 403;
    case Errc::NotFound:
    case Errc::UnknownSession:
      return 404;
    case Errc::Conflict:
    case Errc::AlreadyExists:
    case Errc::EpochInvalid:
      return 409;
    case Errc::LaneLimitReached:
      return 429;
    case Errc::ShuttingDown:
    case Errc::Draining:
    case Errc::StreamLimitReached:
    case Errc::MemoryLimitReached:
      return 503;
    default:
      return 500;
  }
}

ApiResponse error_response(const Error& error, const std::string& request_id) {
  return error_response(http_status(error.code()), error, request_id);
}

ApiResponse error_response(int status, const Error& error, const std::string& request_id) {
  ApiResponse response;
  response.status = status;
  response.headers.emplace_back("Culvert-Request-Id", request_id);
  if (status == 429 || status == 503) response.headers.emplace_back("Retry-After", kRetryAfterSeconds);
  const std::string message = status == 500
                                  ? "the gateway could not do this; its operator finds the reason in its log "
                                    "under request id " +
                                        request_id
                                  : error.message();
  response.body = {{"error",
                    {{"code", errc_name(public_code(status, error.code()))},
                     {"message", message},
                     {"request_id", request_id}}}};
  return response;
}

}  // namespace culvert
