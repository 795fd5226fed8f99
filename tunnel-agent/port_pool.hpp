// The ports that forwards get when nobody names one: 10000-10010 unless configured.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tunnel-agent/listen_socket.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

struct PortPool {
  std::uint16_t first = 10000;
  std::uint16_t last = 10010;

  /// "10000-10010", or one port.
  /// @error UsageInvalid.
  static Result<PortPool> parse(std::string_view text);
  std::string to_text() const;

  friend bool operator==(const PortPool&, const PortPool&) = default;
};

struct ChosenPort {
  std::uint16_t port = 0;
  std::vector<UniqueFd> sockets;  ///< Already listening: nobody can take the port in between.
  std::vector<std::string>
      skipped;  ///< One sentence for each port that was tried and taken by another process.
};

/// The first port of the pool that no other forward has and that opens on all of `forward`'s addresses.
/// @param reserved  ports of other forwards, whether they are open now or not.
/// @error PortInUse when none is left, saying how to go on; what open_listen_sockets() says of anything else.
Result<ChosenPort> choose_port(const PortPool& pool, const std::set<std::uint16_t>& reserved,
                               Forward forward);

}  // namespace culvert
