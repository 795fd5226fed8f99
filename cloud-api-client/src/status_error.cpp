#include "cloud-api-client/src/status_error.hpp"

#include <nlohmann/json.hpp>

#include "cloud-api-client/src/reply_reader.hpp"

namespace culvert::cloud_api {

namespace {

constexpr std::size_t kMaxShown = 300;

// The message goes into logs and on terminals: one line, printable, not endless.
std::string printable(const std::string& text) {
  std::string shown = text.substr(0, kMaxShown);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return shown;
}

Errc errc_of(int status, const std::string& code) {
  if (code == "joining_string_invalid") return Errc::JoiningStringInvalid;
  if (code == "joining_string_expired") return Errc::JoiningStringExpired;
  if (code == "unknown_session") return Errc::UnknownSession;
  switch (status) {
    case 400:
    case 405:
    case 413:
      return Errc::UsageInvalid;
    case 401:
      return Errc::Unauthorized;
    case 403:
      return Errc::Forbidden;
    case 404:
      return Errc::NotFound;
    case 409:
      return Errc::Conflict;
    case 429:
      return Errc::ServerFailed;
    default:
      return status >= 500 ? Errc::ServerFailed : Errc::ReplyInvalid;
  }
}

const char* advice(Errc code) {
  switch (code) {
    case Errc::Unauthorized:
      return "the gateway does not know this site or has revoked it; join again with a new joining string";
    case Errc::Forbidden:
      return "ask the provider to allow it";
    case Errc::Conflict:
      return "look at what is there already, then try again";
    case Errc::NotFound:
      return "check the name, and that agent and gateway are of fitting versions";
    case Errc::UnknownSession:
      return "the gateway has ended this session; a new one is needed";
    case Errc::UsageInvalid:
      return "check that agent and gateway are of fitting versions";
    case Errc::ServerFailed:
      return "try again later; the gateway's log has the reason";
    case Errc::JoiningStringInvalid:
    case Errc::JoiningStringExpired:
      return "ask the provider for a new joining string";
    default:
      return "check that the URL is that of a Culvert gateway";
  }
}

/// Whether the gateway's sentence already ends in what to do: about a joining string, a site that it does not
/// know any more, or a proof that somebody on the way spoils.
bool is_advice(Errc code, const std::string& said) {
  if (code == Errc::JoiningStringInvalid || code == Errc::JoiningStringExpired) return !said.empty();
  return code == Errc::Unauthorized &&
         (said.find("join again") != std::string::npos || said.find("ends TLS") != std::string::npos);
}

}  // namespace

Error status_error(const HttpReply& reply) {
  std::string code;
  std::string said;
  std::string request_id;
  if (ReplyReader reader = ReplyReader::of_text(reply.body); reader.has("error")) {
    ReplyReader error = reader.object("error");
    code = error.text_or_empty("code");
    said = printable(error.text_or_empty("message"));
    request_id = printable(error.text_or_empty("request_id"));
  }
  const Errc errc = errc_of(reply.status, code);
  std::string message = "the gateway answered " + std::to_string(reply.status);
  if (!said.empty()) message += ": " + said;
  if (!request_id.empty()) message += " [request " + request_id + "]";
  if (reply.retry_after)
    message += " (not before " + std::to_string(reply.retry_after->count()) + " s from now)";
  return Error{errc, is_advice(errc, said) ? message : message + "; " + advice(errc)};
}

}  // namespace culvert::cloud_api
