// A forward: the agent listens on a port, the gateway connects to the target. Kept in
// DIR/forwards.d/NAME.toml.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tunnel-agent/network.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/wire/open_info.hpp"

namespace culvert {

struct Forward {
  std::string name;        ///< The file's name without `.toml`.
  std::string target;      ///< As the gateway knows it; the forward's name unless the file says otherwise.
  std::uint16_t port = 0;  ///< 1 to 65,535.
  std::vector<IpAddress> bind;           ///< Addresses to listen on; empty: all, IPv4 and IPv6.
  std::vector<Network> allow_from;       ///< Sources that may connect; empty: all.
  bool close_when_down = false;          ///< Close the port 5 s after session or target is known dead.
  std::uint8_t weight = kDefaultWeight;  ///< Share of its streams where several want the lanes, 1 to 16.

  /// `bind`, or both wildcard addresses.
  std::vector<IpAddress> listen_addresses() const;
  bool allows(const IpAddress& source) const;

  friend bool operator==(const Forward&, const Forward&) = default;
};

/// The addresses of one `bind` list: each once, and none beside the wildcard of its family, which has it
/// already. Otherwise the agent would be in its own way, and the error of the second socket would not say so.
/// @error UsageInvalid; the message goes on where the name of the list was written.
Result<void> check_bind(const std::vector<IpAddress>& bind);

/// A file of forwards.d, readable or not: one that is broken is shown as failed, the others work.
struct ForwardFile {
  std::string name;
  Result<Forward> forward;
};

/// Every *.toml of `directory` in the order of names. A directory that does not exist holds none.
/// @error FileUnreadable for the directory itself.
Result<std::vector<ForwardFile>> load_forwards(const std::filesystem::path& directory);

/// @error ConfigInvalid with file, line and what to do; NotFound; FileUnreadable.
Result<Forward> load_forward(const std::filesystem::path& file);

/// Writes DIRECTORY/NAME.toml whole or not at all; makes the directory where it is missing.
/// @error DiskFull, IoFailed.
Result<void> save_forward(const std::filesystem::path& directory, const Forward& forward);

/// @error NotFound, IoFailed.
Result<void> remove_forward(const std::filesystem::path& directory, const std::string& name);

}  // namespace culvert
