#include "cloud-api-client/src/proxy.hpp"

#include <cstdlib>
#include <string_view>

namespace culvert::cloud_api {

namespace {

std::optional<std::string> either(const Environment& environment, const char* lower, const char* upper) {
  auto value = environment(lower);
  if (!value || value->empty()) value = environment(upper);
  if (value && value->empty()) value.reset();
  return value;
}

bool excludes(std::string_view entry, const std::string& host) {
  while (!entry.empty() && (entry.front() == ' ' || entry.front() == '.')) entry.remove_prefix(1);
  while (!entry.empty() && entry.back() == ' ') entry.remove_suffix(1);
  if (entry.empty()) return false;
  if (entry == "*" || entry == host) return true;
  return host.size() > entry.size() && host.ends_with(entry) && host[host.size() - entry.size() - 1] == '.';
}

bool excluded(std::string_view list, const std::string& host) {
  for (;;) {
    const std::size_t comma = list.find(',');
    if (excludes(list.substr(0, comma), host)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

Error bad_proxy(const std::string& why) {
  return Error{Errc::ConfigInvalid,
               "https_proxy in the environment " + why + "; write it as http://HOST:PORT"};
}

}  // namespace

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return std::string{value};
}

Result<std::optional<GatewayUrl>> proxy_for(const GatewayUrl& gateway, const Environment& environment) {
  const std::optional<GatewayUrl> direct;
  if (gateway.host_is_loopback()) return direct;
  const auto proxy = either(environment, "https_proxy", "HTTPS_PROXY");
  if (!proxy) return direct;
  if (const auto exceptions = either(environment, "no_proxy", "NO_PROXY")) {
    if (excluded(*exceptions, gateway.host)) return direct;
  }
  std::string_view text = *proxy;
  constexpr std::string_view kHttp = "http://";
  if (text.starts_with(kHttp)) text.remove_prefix(kHttp.size());
  // The value may hold a password: it is not repeated in the message.
  if (text.find("://") != std::string_view::npos) return bad_proxy("is not an http:// proxy");
  if (text.find('@') != std::string_view::npos) return bad_proxy("has a user name, which is not supported");
  auto parsed = GatewayUrl::parse("https://" + std::string{text});
  if (!parsed) return bad_proxy("cannot be read");
  const std::size_t host_end = text.find(']') == std::string_view::npos ? 0 : text.find(']');
  if (text.find(':', host_end) == std::string_view::npos) parsed->port = 8080;
  return std::optional<GatewayUrl>{std::move(*parsed)};
}

}  // namespace culvert::cloud_api
