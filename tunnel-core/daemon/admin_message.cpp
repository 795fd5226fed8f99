#include "tunnel-core/daemon/admin_message.hpp"

namespace culvert {

namespace {

using nlohmann::json;

std::string line_of(const json& message) {
  return message.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

/// A discarded value when `line` is not JSON.
json parse(std::string_view line) {
  return json::parse(line, nullptr, /*allow_exceptions=*/false);
}

bool has_text(const json& object, const char* key) {
  return object.contains(key) && object[key].is_string();
}

}  // namespace

std::string encode_request(const AdminRequest& request) {
  return line_of({{"command", request.command},
                  {"arguments", request.arguments.is_null() ? json::object() : request.arguments}});
}

std::string encode_answer(const Result<json>& answer) {
  if (answer) return line_of({{"ok", true}, {"result", *answer}});
  const Error& error = answer.error();
  return line_of({{"ok", false}, {"error", {{"code", errc_name(error.code())}, {"message", error.text()}}}});
}

Result<AdminRequest> decode_request(std::string_view line) {
  json message = parse(line);
  if (!message.is_object() || !has_text(message, "command")) {
    return Error{Errc::UsageInvalid, R"(a request is one line of JSON: {"command": "…", "arguments": {…}})"};
  }
  AdminRequest request;
  request.command = message["command"].get<std::string>();
  request.arguments = message.value("arguments", json::object());
  if (!request.arguments.is_object()) return Error{Errc::UsageInvalid, "\"arguments\" must be an object"};
  return request;
}

Result<json> decode_answer(std::string_view line) {
  json message = parse(line);
  if (message.is_object() && message.contains("ok") && message["ok"].is_boolean()) {
    if (message["ok"].get<bool>()) return message.value("result", json());
    if (const json error = message.value("error", json::object());
        error.is_object() && has_text(error, "code") && has_text(error, "message")) {
      return Error{errc_from_name(error["code"].get<std::string>()), error["message"].get<std::string>()};
    }
  }
  return Error{Errc::ReplyInvalid,
               "the daemon's answer is not in the expected form; is it of another version?"};
}

}  // namespace culvert
