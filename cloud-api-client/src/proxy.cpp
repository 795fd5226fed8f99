#include "cloud-api-client/include/cloud_api/proxy.hpp"

#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

namespace culvert::cloud_api {

namespace {

constexpr std::array<std::pair<ProxyAuth, std::string_view>, 6> kNames{{
    {ProxyAuth::Auto, "auto"},
    {ProxyAuth::None, "none"},
    {ProxyAuth::Basic, "basic"},
    {ProxyAuth::Digest, "digest"},
    {ProxyAuth::Ntlm, "ntlm"},
    {ProxyAuth::Negotiate, "negotiate"},
}};

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
  return Error{Errc::ConfigInvalid, "the proxy's address " + why + "; write it as http://HOST:PORT"};
}

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

/// nullopt: a broken %XX, or a control character, which could break out of a header.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      unsigned value = 0;
      const char* const digits = text.data() + i + 1;
      const auto parsed = std::from_chars(digits, digits + 2, value, 16);
      if (parsed.ec != std::errc{} || parsed.ptr != digits + 2) return std::nullopt;
      c = static_cast<char>(value);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return std::nullopt;
    decoded += c;
  }
  return decoded;
}

}  // namespace

std::string_view proxy_auth_name(ProxyAuth auth) {
  for (const auto& [value, name] : kNames) {
    if (value == auth) return name;
  }
  return "none";
}

std::optional<ProxyAuth> proxy_auth_from_name(std::string_view name) {
  for (const auto& [value, known] : kNames) {
    if (known == name) return value;
  }
  return std::nullopt;
}

std::string ProxySettings::authority() const {
  return GatewayUrl{host, port}.authority();
}

Result<ProxySettings> ProxySettings::parse(std::string_view text) {
  constexpr std::string_view kHttp = "http://";
  if (text.starts_with(kHttp)) text.remove_prefix(kHttp.size());
  if (text.find("://") != std::string_view::npos) {
    return bad_proxy("does not begin with http:// (proxies spoken to over TLS or SOCKS are not supported)");
  }
  ProxySettings settings;
  if (const std::size_t at = text.rfind('@'); at != std::string_view::npos) {
    const std::string_view login = text.substr(0, at);
    const std::size_t colon = std::min(login.find(':'), login.size());
    auto user = percent_decoded(login.substr(0, colon));
    auto password = percent_decoded(login.substr(std::min(colon + 1, login.size())));
    if (!user || user->empty() || !password) return bad_proxy("has a login that cannot be read");
    settings.user = std::move(*user);
    settings.password = std::move(*password);
    text.remove_prefix(at + 1);
  }
  const auto parsed = GatewayUrl::parse("https://" + std::string{text});
  if (!parsed) return bad_proxy("cannot be read");
  settings.host = parsed->host;
  const std::size_t bracket = text.find(']');
  const bool names_port =
      text.find(':', bracket == std::string_view::npos ? 0 : bracket) != std::string_view::npos;
  if (names_port) settings.port = parsed->port;
  return settings;
}

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return std::string{value};
}

Result<std::optional<ProxySettings>> proxy_for(const GatewayUrl& gateway, const Environment& environment) {
  const std::optional<ProxySettings> direct;
  if (gateway.host_is_loopback()) return direct;
  const auto value = either(environment, "https_proxy", "HTTPS_PROXY");
  if (!value) return direct;
  if (const auto exceptions = either(environment, "no_proxy", "NO_PROXY")) {
    // Names know no case (RFC 4343 §2); the gateway's host is in lower case already.
    if (excluded(lower_case(*exceptions), gateway.host)) return direct;
  }
  auto settings = ProxySettings::parse(*value);
  if (!settings) return std::move(settings).error().at("read https_proxy of the environment");
  settings->auto_allows_basic = true;
  settings->source = "https_proxy of the environment";
  return std::optional<ProxySettings>{std::move(*settings)};
}

}  // namespace culvert::cloud_api
