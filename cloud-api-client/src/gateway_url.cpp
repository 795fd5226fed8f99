#include "cloud-api-client/include/cloud_api/gateway_url.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace culvert::cloud_api {

namespace {

constexpr std::string_view kScheme = "https://";

Error bad_url(std::string_view text, std::string_view why) {
  return Error{Errc::ConfigInvalid, "gateway URL '" + std::string{text} + "' " + std::string{why} +
                                        "; write it as https://HOST or https://HOST:PORT"};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

bool is_ipv4(const std::string& host) {
  in_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool is_ipv6(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

}  // namespace

Result<GatewayUrl> GatewayUrl::parse(std::string_view text) {
  if (text.substr(0, kScheme.size()) != kScheme) return bad_url(text, "does not begin with https://");
  std::string_view rest = text.substr(kScheme.size());
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  if (rest.find_first_of("/?#") != std::string_view::npos) return bad_url(text, "has a path");
  if (rest.find('@') != std::string_view::npos) return bad_url(text, "has a user name");

  GatewayUrl url;
  std::string_view port;
  if (!rest.empty() && rest.front() == '[') {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return bad_url(text, "has '[' without ']'");
    url.host = std::string{rest.substr(1, end - 1)};
    if (!is_ipv6(url.host)) return bad_url(text, "has no IPv6 address between '[' and ']'");
    port = rest.substr(end + 1);
    if (!port.empty() && port.front() != ':') return bad_url(text, "goes on after ']' without a ':'");
  } else {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    url.host = std::string{rest.substr(0, colon)};
    port = rest.substr(colon);
  }
  std::transform(url.host.begin(), url.host.end(), url.host.begin(), lower);
  if (url.host.empty() || url.host.size() > 253) return bad_url(text, "has no usable host");
  if (!is_ipv6(url.host) && !std::all_of(url.host.begin(), url.host.end(), is_name_character)) {
    return bad_url(text, "has a host with a character that no host name has");
  }
  if (!port.empty()) {
    port.remove_prefix(1);
    const auto [end, failure] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (failure != std::errc{} || end != port.data() + port.size() || url.port == 0) {
      return bad_url(text, "has a port outside 1-65535");
    }
  }
  return url;
}

bool GatewayUrl::host_is_literal() const {
  return is_ipv4(host) || is_ipv6(host);
}

bool GatewayUrl::host_is_loopback() const {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  if (is_ipv4(host)) return host.starts_with("127.");
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1 && IN6_IS_ADDR_LOOPBACK(&address);
}

std::string GatewayUrl::authority() const {
  const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return shown + ":" + std::to_string(port);
}

std::string GatewayUrl::to_text() const {
  const std::string full = authority();
  return std::string{kScheme} + (port == 443 ? full.substr(0, full.size() - 4) : full);
}

}  // namespace culvert::cloud_api
