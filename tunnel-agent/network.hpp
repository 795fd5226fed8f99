// IP addresses and networks as values, as forwards name them.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert {

class IpAddress {
 public:
  /// "192.0.2.7" or "2001:db8::7", without brackets. An IPv4 address in IPv6 clothes becomes IPv4.
  /// @error UsageInvalid.
  static Result<IpAddress> parse(std::string_view text);
  /// From a sockaddr_in or sockaddr_in6; anything else is a mistake of ours.
  static IpAddress of(const sockaddr_storage& address);
  static IpAddress any_v4();
  static IpAddress any_v6();

  bool is_v6() const { return v6_; }
  bool is_any() const { return bytes_ == decltype(bytes_){}; }  ///< 0.0.0.0 or ::.
  std::string to_text() const;
  /// @return the size of the part of `storage` that was filled.
  socklen_t fill(sockaddr_storage& storage, std::uint16_t port) const;

  friend bool operator==(const IpAddress&, const IpAddress&) = default;

 private:
  friend class Network;
  bool v6_ = false;
  std::array<std::uint8_t, 16> bytes_{};  // IPv4: the first four.
};

/// "10.0.0.0/8", "2001:db8::/32", or one address.
class Network {
 public:
  /// @error UsageInvalid: no address, a prefix that is too long, or bits set behind it.
  static Result<Network> parse(std::string_view text);
  bool contains(const IpAddress& address) const;
  std::string to_text() const;  ///< Always with the prefix.

  friend bool operator==(const Network&, const Network&) = default;

 private:
  IpAddress base_;
  unsigned prefix_ = 0;
};

/// Where a stream comes from.
struct SourceAddress {
  IpAddress address;
  std::uint16_t port = 0;

  std::string to_text() const;  ///< "192.0.2.7:40112", "[2001:db8::7]:40112".
};

}  // namespace culvert
