// HOST:PORT as an administrator writes it: `db.dr.internal:5432`, `192.0.2.7:873`, `[::1]:5432`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert {

/// Where a stream to a target goes.
struct TargetAddress {
  std::string host;  ///< A DNS name or an address, without brackets.
  std::uint16_t port = 0;
  /// The administrator wrote an address, or `localhost`: it is allowed whatever it is. Otherwise every
  /// address the name resolves to is subject to forbidden_address().
  bool literal_permitted = false;

  std::string to_text() const;  ///< As it was written, IPv6 in brackets.
  friend bool operator==(const TargetAddress&, const TargetAddress&) = default;
};

/// @error UsageInvalid, which shows the text, what is wrong with it and how it should look.
Result<TargetAddress> parse_target_address(std::string_view text);

}  // namespace culvert
