#include "cloud-gateway/public_url.hpp"

#include <charconv>

#include "certs/server_name.hpp"

namespace culvert {

namespace {

constexpr std::string_view kScheme = "https://";
constexpr std::size_t kMaxShown = 100;

Error bad_url(std::string_view text, std::string_view why) {
  // What stands before '@' may be a password, and errors go to logs.
  const bool secret = text.find('@') != text.npos;
  const std::string shown = secret ? "" : ": '" + std::string{text.substr(0, kMaxShown)} + "'";
  return Error{
      Errc::UsageInvalid,
      std::string{why} + shown + "; write it as https://HOST or https://HOST:PORT, with nothing behind"};
}

Result<std::uint16_t> parse_port(std::string_view text, std::string_view digits) {
  std::uint16_t port = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stopped, failure] = std::from_chars(digits.data(), end, port);
  if (digits.size() > 5 || failure != std::errc{} || stopped != end || port == 0)
    return bad_url(text, "has a port outside 1-65535");
  return port;
}

}  // namespace

Result<PublicUrl> PublicUrl::parse(std::string_view text) {
  if (!text.starts_with(kScheme)) return bad_url(text, "does not begin with https://");
  const std::string_view rest = text.substr(kScheme.size());
  if (rest.find('@') != rest.npos) return bad_url(text, "has a user name");
  if (rest.find_first_of("/?#") != rest.npos) return bad_url(text, "has a path");

  PublicUrl url;
  std::string_view behind;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == rest.npos) return bad_url(text, "has '[' without ']'");
    url.host = std::string{rest.substr(1, end - 1)};
    if (url.host.find(':') == url.host.npos || !certs::is_ip_address(url.host))
      return bad_url(text, "has no IPv6 address between '[' and ']'");
    behind = rest.substr(end + 1);
    if (!behind.empty() && !behind.starts_with(':')) return bad_url(text, "goes on after ']' without a ':'");
  } else {
    const std::size_t colon = rest.find(':');
    if (colon != rest.rfind(':')) return bad_url(text, "has an IPv6 address without [ and ]");
    url.host = std::string{rest.substr(0, colon)};
    if (!certs::alternative_name_entry(url.host))
      return bad_url(text, "has a HOST that is neither a host name nor an IP address");
    if (colon != rest.npos) behind = rest.substr(colon);
  }
  if (behind.empty()) return url;
  auto port = parse_port(text, behind.substr(1));
  if (!port) return std::move(port).error();
  url.port = *port;
  return url;
}

}  // namespace culvert
