#include "cloud-gateway/control/target_address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "cloud-gateway/control/address_kind.hpp"

namespace culvert {

namespace {

constexpr std::size_t kMaxHostSize = 253;
constexpr std::size_t kMaxLabelSize = 63;

Error bad_address(std::string_view text, const std::string& why) {
  return Error{Errc::UsageInvalid,
               "'" + std::string{text.substr(0, 300)} + "' is not a target address: " + why +
                   "; write HOST:PORT, for example db.dr.internal:5432, 192.0.2.7:5432 or "
                   "[2001:db8::7]:5432"};
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port < 1 || port > 65535)
    return std::nullopt;
  return static_cast<std::uint16_t>(port);
}

/// The address in `host`, if it is one. A zone (`fe80::1%eth0`) belongs to it.
std::optional<AddressKind> literal_kind(const std::string& host) {
  std::array<unsigned char, 16> bytes{};
  if (inet_pton(AF_INET, host.c_str(), bytes.data()) == 1) return address_kind(std::span{bytes}.first(4));
  const std::size_t zone = host.find('%');
  if (zone != std::string::npos) {
    const std::string_view name = std::string_view{host}.substr(zone + 1);
    if (name.empty() || name.size() > 15 || !std::all_of(name.begin(), name.end(), is_name_character))
      return std::nullopt;
  }
  if (inet_pton(AF_INET6, host.substr(0, zone).c_str(), bytes.data()) == 1) return address_kind(bytes);
  return std::nullopt;
}

/// Nothing, or what is wrong with a DNS name.
std::optional<std::string> wrong_with_name(std::string_view name) {
  if (name.size() > kMaxHostSize) return "the host is longer than 253 characters";
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string_view label;
  do {
    const std::size_t dot = name.find('.');
    label = name.substr(0, dot);
    name = dot == std::string_view::npos ? std::string_view{} : name.substr(dot + 1);
    if (label.empty()) return "the host has an empty part";
    if (label.size() > kMaxLabelSize) return "a part of the host is longer than 63 characters";
    if (!std::all_of(label.begin(), label.end(), is_name_character))
      return "the host may hold letters, digits, '-', '_' and '.' only";
    if (label.front() == '-' || label.back() == '-') return "a part of the host begins or ends with '-'";
    if (name.empty()) break;
  } while (true);
  // The resolver would read 127.1 or 0x7f000001 as an IPv4 address that nobody recognises.
  const bool hexadecimal = label.starts_with("0x") || label.starts_with("0X");
  if (hexadecimal || std::all_of(label.begin(), label.end(), is_digit))
    return "the host looks like an incomplete IPv4 address; write all four parts";
  return std::nullopt;
}

bool is_destination(AddressKind kind) {
  return kind != AddressKind::Multicast && kind != AddressKind::Reserved;
}

}  // namespace

std::string TargetAddress::to_text() const {
  const bool ipv6 = host.find(':') != std::string::npos;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<TargetAddress> parse_target_address(std::string_view text) {
  if (text.find("://") != std::string_view::npos) {
    return bad_address(text, "a target is any TCP port, not a URL");
  }
  std::string_view host;
  std::string_view port_text;
  const bool bracketed = text.starts_with('[');
  if (bracketed) {
    const std::size_t close = text.find("]:");
    if (close == std::string_view::npos)
      return bad_address(text, "']:PORT' is missing after the IPv6 address");
    host = text.substr(1, close - 1);
    port_text = text.substr(close + 2);
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return bad_address(text, "the port is missing");
    host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
    if (host.find(':') != std::string_view::npos) return bad_address(text, "an IPv6 address needs brackets");
  }
  if (host.empty()) return bad_address(text, "the host is missing");
  const auto port = parse_port(port_text);
  if (!port) return bad_address(text, "the port must be a number from 1 to 65535");

  TargetAddress address{std::string{host}, *port, false};
  if (const auto kind = literal_kind(address.host)) {
    if (*kind == AddressKind::Unspecified)
      return bad_address(text, "no host has that address, so it cannot be connected to");
    if (!is_destination(*kind))
      return bad_address(text, std::string{address_kind_name(*kind)} + " cannot be connected to");
    const bool is_fe80 =
        *kind == AddressKind::LinkLocal && (host.starts_with("fe") || host.starts_with("FE"));
    if (is_fe80 && host.find('%') == std::string_view::npos)
      return bad_address(text, "an IPv6 link-local address needs its interface, as in [fe80::1%eth0]:5432");
    address.literal_permitted = true;
    return address;
  }
  if (bracketed) return bad_address(text, "what stands in the brackets is no IPv6 address");
  if (const auto wrong = wrong_with_name(address.host)) return bad_address(text, *wrong);
  address.literal_permitted = address.host == "localhost";
  return address;
}

}  // namespace culvert
