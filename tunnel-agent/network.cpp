#include "tunnel-agent/network.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "tunnel-core/base/assert.hpp"

namespace culvert {

namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

Error bad_network(std::string_view text, const char* why) {
  return Error{Errc::UsageInvalid,
               "'" + std::string{text} + "' " + why + "; write a network like 10.0.0.0/8 or fd00::/8"};
}

}  // namespace

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string copy{text};
  IpAddress address;
  if (::inet_pton(AF_INET, copy.c_str(), address.bytes_.data()) == 1 && copy.size() == text.size())
    return address;
  address.v6_ = true;
  if (::inet_pton(AF_INET6, copy.c_str(), address.bytes_.data()) == 1) {
    if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes_.begin())) {
      IpAddress inner;
      std::copy(address.bytes_.begin() + 12, address.bytes_.end(), inner.bytes_.begin());
      return inner;
    }
    return address;
  }
  return Error{Errc::UsageInvalid,
               "'" + copy + "' is not an IP address; write it like 192.0.2.7 or 2001:db8::7"};
}

IpAddress IpAddress::of(const sockaddr_storage& address) {
  IpAddress result;
  if (address.ss_family == AF_INET) {
    std::memcpy(result.bytes_.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
    return result;
  }
  TUNNEL_ASSERT(address.ss_family == AF_INET6);
  result.v6_ = true;
  std::memcpy(result.bytes_.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
  return result;
}

IpAddress IpAddress::any_v4() {
  return {};
}

IpAddress IpAddress::any_v6() {
  IpAddress address;
  address.v6_ = true;
  return address;
}

std::string IpAddress::to_text() const {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), text, sizeof text);
  return text;
}

socklen_t IpAddress::fill(sockaddr_storage& storage, std::uint16_t port) const {
  storage = {};
  if (v6_) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, bytes_.data(), 16);
    return sizeof v6;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  std::memcpy(&v4.sin_addr, bytes_.data(), 4);
  return sizeof v4;
}

Result<Network> Network::parse(std::string_view text) {
  const std::size_t slash = std::min(text.find('/'), text.size());
  auto base = IpAddress::parse(text.substr(0, slash));
  if (!base) return bad_network(text, "does not begin with an IP address");
  Network network;
  network.base_ = *base;
  const unsigned bits = base->is_v6() ? 128 : 32;
  network.prefix_ = bits;
  if (slash < text.size()) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), network.prefix_);
    if (failure != std::errc{} || end != digits.data() + digits.size() || network.prefix_ > bits) {
      return bad_network(text, "has a prefix that is not a number its address allows");
    }
  }
  for (unsigned bit = network.prefix_; bit < bits; ++bit) {
    if ((network.base_.bytes_[bit / 8] >> (7 - bit % 8) & 1) != 0) {
      return bad_network(text, "has address bits behind its prefix");
    }
  }
  return network;
}

bool Network::contains(const IpAddress& address) const {
  if (address.is_v6() != base_.is_v6()) return false;
  for (unsigned bit = 0; bit < prefix_; ++bit) {
    const unsigned difference = static_cast<unsigned>(address.bytes_[bit / 8] ^ base_.bytes_[bit / 8]);
    if ((difference >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

std::string Network::to_text() const {
  return base_.to_text() + "/" + std::to_string(prefix_);
}

std::string SourceAddress::to_text() const {
  const std::string text = address.to_text();
  return (address.is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

}  // namespace culvert
