// JSON as the command lines print it for `--json`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace culvert {

/// Indented, with a newline at the end. Bytes that are not UTF-8 (a file name in an error, a word somebody
/// typed) become U+FFFD: the library would throw at them.
/// @param value  nlohmann::json or nlohmann::ordered_json.
template <class Json>
std::string json_text(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace culvert
