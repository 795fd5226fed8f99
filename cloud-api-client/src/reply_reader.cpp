#include "cloud-api-client/src/reply_reader.hpp"

namespace culvert::cloud_api {

namespace {

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

ReplyReader::ReplyReader(nlohmann::json value) : value_(std::move(value)) {
  if (!value_.is_object()) mistake_ = "is not a JSON object";
}

ReplyReader ReplyReader::of_text(std::string_view body) {
  return ReplyReader{nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false)};
}

const nlohmann::json* ReplyReader::find(const char* key) const {
  if (!value_.is_object()) return nullptr;
  const auto found = value_.find(key);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

bool ReplyReader::has(const char* key) const {
  return find(key) != nullptr;
}

std::string ReplyReader::text(const char* key) {
  const nlohmann::json* value = find(key);
  if (value != nullptr && value->is_string()) return value->get<std::string>();
  keep(std::string{"has no text '"} + key + "'");
  return {};
}

std::string ReplyReader::text_or_empty(const char* key) {
  return has(key) ? text(key) : std::string{};
}

std::uint64_t ReplyReader::number(const char* key, std::uint64_t min, std::uint64_t max) {
  const nlohmann::json* value = find(key);
  if (value != nullptr && value->is_number_unsigned()) {
    const auto number = value->get<std::uint64_t>();
    if (number >= min && number <= max) return number;
  }
  keep(std::string{"has no number '"} + key + "' from " + std::to_string(min) + " to " + std::to_string(max));
  return min;
}

Bytes ReplyReader::hex(const char* key, std::size_t size) {
  const std::string digits = text_or_empty(key);
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    const int high = digit(digits[i]);
    const int low = digit(digits[i + 1]);
    if (high < 0 || low < 0) break;
    bytes.push_back(static_cast<std::byte>(high << 4 | low));
  }
  if (bytes.size() == size && digits.size() == 2 * size) return bytes;
  keep(std::string{"has no '"} + key + "' of " + std::to_string(size) + " hexadecimal bytes");
  return Bytes(size);
}

ReplyReader ReplyReader::object(const char* key) {
  const nlohmann::json* value = find(key);
  if (value != nullptr && value->is_object()) return ReplyReader{*value};
  keep(std::string{"has no object '"} + key + "'");
  return ReplyReader{nlohmann::json::object()};
}

std::vector<nlohmann::json> ReplyReader::list(const char* key, std::size_t max) {
  const nlohmann::json* value = find(key);
  if (value != nullptr && value->is_array() && value->size() <= max) {
    return {value->begin(), value->end()};
  }
  keep(std::string{"has no list '"} + key + "' of at most " + std::to_string(max) + " entries");
  return {};
}

Result<void> ReplyReader::finish() const {
  if (mistake_.empty()) return {};
  return Error{Errc::ReplyInvalid, "the reply " + mistake_};
}

}  // namespace culvert::cloud_api
