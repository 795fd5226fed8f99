// The agent's bandwidth limits on disk: DIR/limits.d/site.toml and DIR/limits.d/forward-NAME.toml.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/daemon/bandwidth_limit.hpp"

namespace culvert {

/// Whose streams share a limit: those of one forward, by its name, or of the whole site (empty).
using LimitScope = std::string;
using LimitMap = std::map<LimitScope, BandwidthLimit>;

/// All of `directory`; one that does not exist holds none.
/// @error FileUnreadable; ConfigInvalid with file, line and what to do.
Result<LimitMap> load_limits(const std::filesystem::path& directory);

/// Writes the file whole or not at all; makes the directory where it is missing. An empty limit has no file.
/// @error DiskFull, IoFailed.
Result<void> save_limit(const std::filesystem::path& directory, const LimitScope& scope,
                        const BandwidthLimit& limit);

}  // namespace culvert
