#include "cloud-gateway/listen_address.hpp"

#include <arpa/inet.h>

#include <array>
#include <charconv>

namespace culvert {

std::string ListenAddress::to_text() const {
  return (is_ipv6() ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const Error bad{Errc::UsageInvalid, "'" + std::string{text.substr(0, 100)} +
                                          "' is not an address to listen on; write ADDRESS:PORT, for example "
                                          "0.0.0.0:443, 192.0.2.7:443 or [::]:443"};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad;
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);

  ListenAddress address{std::string{host}, 0};
  std::array<unsigned char, 16> bytes{};
  if (inet_pton(bracketed ? AF_INET6 : AF_INET, address.host.c_str(), bytes.data()) != 1) return bad;
  const auto [end, error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), address.port);
  if (port_text.empty() || error != std::errc{} || end != port_text.data() + port_text.size()) return bad;
  return address;
}

}  // namespace culvert
