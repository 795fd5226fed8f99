#include "cloud-gateway/control/address_kind.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tunnel-core/base/assert.hpp"

namespace culvert {

namespace {

using Ipv4 = std::span<const unsigned char, 4>;
using Ipv6 = std::span<const unsigned char, 16>;

AddressKind ipv4_kind(Ipv4 a) {
  if (a[0] == 0) return AddressKind::Unspecified;
  if (a[0] == 127) return AddressKind::Loopback;
  if (a[0] == 169 && a[1] == 254) return AddressKind::LinkLocal;
  if (a[0] == 100 && a[1] == 100 && a[2] == 100 && a[3] == 200) return AddressKind::Metadata;
  if (a[0] >= 240) return AddressKind::Reserved;
  if (a[0] >= 224) return AddressKind::Multicast;
  return AddressKind::Ordinary;
}

template <std::size_t N>
bool begins_with(Ipv6 address, const std::array<unsigned char, N>& prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

AddressKind ipv6_kind(Ipv6 a) {
  constexpr std::array<unsigned char, 16> kLoopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  constexpr std::array<unsigned char, 16> kMetadata{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0,    0,
                                                    0,    0,    0,    0,    0, 0, 0x02, 0x54};
  constexpr std::array<unsigned char, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  constexpr std::array<unsigned char, 12> kCompatible{};
  constexpr std::array<unsigned char, 12> kNat64{0x00, 0x64, 0xff, 0x9b};
  constexpr std::array<unsigned char, 2> kSixToFour{0x20, 0x02};

  if (begins_with(a, kLoopback)) return AddressKind::Loopback;
  if (begins_with(a, kMetadata)) return AddressKind::Metadata;
  // "::" falls under kCompatible: an embedded 0.0.0.0.
  if (begins_with(a, kMapped) || begins_with(a, kCompatible) || begins_with(a, kNat64))
    return ipv4_kind(a.last<4>());
  if (begins_with(a, kSixToFour)) return ipv4_kind(a.subspan<2, 4>());
  if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) return AddressKind::LinkLocal;
  if (a[0] == 0xff) return AddressKind::Multicast;
  return AddressKind::Ordinary;
}

}  // namespace

AddressKind address_kind(std::span<const unsigned char> bytes) {
  TUNNEL_ASSERT(bytes.size() == 4 || bytes.size() == 16);
  return bytes.size() == 4 ? ipv4_kind(bytes.first<4>()) : ipv6_kind(bytes.first<16>());
}

bool forbidden_address(const sockaddr& address) {
  std::array<unsigned char, 16> bytes{};
  switch (address.sa_family) {
    case AF_INET:
      std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
      return address_kind(std::span{bytes}.first(4)) != AddressKind::Ordinary;
    case AF_INET6:
      std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
      return address_kind(bytes) != AddressKind::Ordinary;
    default:
      return true;
  }
}

std::string_view address_kind_name(AddressKind kind) {
  switch (kind) {
    case AddressKind::Ordinary:
      return "an ordinary address";
    case AddressKind::Loopback:
      return "a loopback address";
    case AddressKind::LinkLocal:
      return "a link-local address";
    case AddressKind::Metadata:
      return "the address of a cloud's metadata service";
    case AddressKind::Unspecified:
      return "no address of a host";
    case AddressKind::Multicast:
      return "a multicast address";
    case AddressKind::Reserved:
      return "a reserved address";
  }
  return "an unknown kind of address";
}

}  // namespace culvert
