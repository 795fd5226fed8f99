#include "tunnel-agent/doctor/http_reply.hpp"

#include <algorithm>
#include <cctype>
#include <ctime>
#include <nlohmann/json.hpp>

namespace culvert {

namespace {

std::string lower(std::string_view text) {
  std::string result{text};
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return std::string{text.substr(first, text.find_last_not_of(" \t\r") - first + 1)};
}

std::optional<certs::UtcTime> parse_time(const std::string& text, const char* format) {
  std::tm broken{};
  const char* const end = ::strptime(text.c_str(), format, &broken);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return certs::UtcTime{std::chrono::seconds{::timegm(&broken)}};
}

void read_field(HttpReply& reply, std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name = lower(line.substr(0, colon));
  std::string value = trimmed(line.substr(colon + 1));
  if (name == "location")
    reply.location = std::move(value);
  else if (name == "server")
    reply.server = std::move(value);
  else if (name == "date")
    reply.date = std::move(value);
  else if (name == "connection")
    reply.closes |= lower(value) == "close";
  else if (name == "culvert-request-id")
    reply.from_gateway = true;
  else if (name == "content-type")
    reply.content_type = std::move(value);
}

}  // namespace

std::optional<HttpReply> parse_http_reply(std::string_view bytes) {
  constexpr std::size_t kStatusAt = 9;  // Behind "HTTP/1.1 ".
  if (!bytes.starts_with("HTTP/1.") || bytes.size() < kStatusAt + 3) return std::nullopt;
  HttpReply reply;
  reply.closes = bytes.starts_with("HTTP/1.0");
  for (const char digit : bytes.substr(kStatusAt, 3)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    reply.status = reply.status * 10 + (digit - '0');
  }
  constexpr std::string_view kEndOfHead = "\r\n\r\n";
  const auto end = bytes.find(kEndOfHead);
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view head = bytes.substr(0, end);
  reply.body = bytes.substr(end + kEndOfHead.size());
  while (!head.empty()) {
    const auto line_end = head.find('\n');
    read_field(reply, head.substr(0, line_end));
    head = line_end == std::string_view::npos ? std::string_view{} : head.substr(line_end + 1);
  }
  return reply;
}

bool HttpReply::is_gateway_health() const {
  if (status != 200) return false;
  const auto object = nlohmann::json::parse(body, nullptr, false);
  return object.is_object() && object.contains("status") && object.contains("version") &&
         object.contains("protocols") && object["protocols"].is_array();
}

std::optional<certs::UtcTime> HttpReply::time() const {
  if (is_gateway_health()) {
    const auto object = nlohmann::json::parse(body, nullptr, false);
    if (const auto found = object.find("time"); found != object.end() && found->is_string()) {
      if (auto parsed = parse_time(found->get<std::string>(), "%Y-%m-%dT%H:%M:%SZ")) return parsed;
    }
  }
  return parse_time(date, "%a, %d %b %Y %H:%M:%S GMT");
}

bool HttpReply::is_login_page() const {
  if (status != 200 || !lower(content_type).starts_with("text/html")) return false;
  const std::string page = lower(body);
  return page.find("<form") != std::string::npos || page.find("http-equiv=\"refresh\"") != std::string::npos;
}

std::string HttpReply::host_of_location() const {
  const auto scheme = location.find("://");
  if (scheme == std::string::npos) return {};
  std::string_view rest = std::string_view{location}.substr(scheme + 3);
  if (rest.starts_with('[')) return lower(rest.substr(1, rest.find(']') - 1));
  return lower(rest.substr(0, rest.find_first_of(":/?#")));
}

}  // namespace culvert
