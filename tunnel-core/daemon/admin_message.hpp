// The lines that pass over DIR/admin.sock (admin_socket.hpp has their form).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/daemon/admin_socket.hpp"

namespace culvert {

/// Each encodes one line with its line break. Text that is not UTF-8 is replaced, so that none can fail.
std::string encode_request(const AdminRequest& request);
std::string encode_answer(const Result<nlohmann::json>& answer);

/// @error UsageInvalid: not JSON, not an object, no command, arguments that are no object.
Result<AdminRequest> decode_request(std::string_view line);
/// @error what the other end answered; ReplyInvalid when it is not an answer.
Result<nlohmann::json> decode_answer(std::string_view line);

}  // namespace culvert
