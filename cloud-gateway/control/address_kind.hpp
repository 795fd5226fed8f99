// Which addresses a target's name must not lead to (docs/guarantees.md, G3).
#pragma once

#include <sys/socket.h>

#include <span>
#include <string_view>

namespace culvert {

enum class AddressKind {
  Ordinary,     ///< Public or private: a name may resolve to it.
  Loopback,     ///< 127.0.0.0/8, ::1.
  LinkLocal,    ///< 169.254.0.0/16, fe80::/10: where clouds keep their metadata service.
  Metadata,     ///< Metadata services elsewhere: fd00:ec2::254, 100.100.100.200.
  Unspecified,  ///< 0.0.0.0/8, ::, which Linux takes for itself.
  Multicast,    ///< 224.0.0.0/4, ff00::/8.
  Reserved,     ///< 240.0.0.0/4 with the broadcast address.
};

/// @param bytes  4 (IPv4) or 16 (IPv6), network order. An IPv6 address that carries an IPv4 one (mapped,
///               compatible, NAT64 64:ff9b::/96, 6to4 2002::/16) is judged by that one as well.
AddressKind address_kind(std::span<const unsigned char> bytes);

/// True for every kind but Ordinary, and for an address family that is neither IPv4 nor IPv6. A data thread
/// asks this of each address a DNS name resolved to; not of a target with TargetAddress::literal_permitted.
bool forbidden_address(const sockaddr& address);

std::string_view address_kind_name(AddressKind kind);  ///< "a loopback address", for messages.

}  // namespace culvert
