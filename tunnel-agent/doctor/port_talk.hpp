// The lines that both ends of a port check send each other: one JSON object each, at most kLongestLine bytes.
//
//   answerer: {"culvert_port_check":1}
//   dialler:  {"token":"…"}                    answerer: {"token":"…","held":[…],"taken":[…]}
//   dialler:  {"dial":[6101],"token":"…"}      answerer: {"dialled":[{"port","state","detail"}]}, after it
//   has
//                                              dialled the address that asked
//   dialler:  {"end":true,"closed":[…]}        answerer: {"end":true}; heard only after a token on this
//                                              connection
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tunnel-core/base/time.hpp"

namespace culvert {

constexpr const char* kGreeting = "culvert_port_check";
constexpr std::size_t kLongestLine = 64 * 1024;

/// Cuts the first line off `received`; nothing while there is no whole one.
std::optional<std::string> take_line(std::string& received);
/// Nothing for what is no JSON object.
std::optional<nlohmann::json> parse_line(const std::string& line);
/// False when the kernel does not take all of it at once.
bool send_line(int fd, const nlohmann::json& object);
/// Sends, and waits for the answer.
std::optional<nlohmann::json> ask_line(int fd, const nlohmann::json& object, Instant deadline);
/// Empty when `key` is missing or no string.
std::string text_in(const nlohmann::json& object, const char* key);
/// The array `key` as ports; what is none is left out, and after 1024 the rest.
std::vector<std::uint16_t> ports_in(const nlohmann::json& object, const char* key);

}  // namespace culvert
