// Directories of the agent's own files: forwards.d, limits.d.
#pragma once

#include <filesystem>

#include "tunnel-core/base/result.hpp"

namespace culvert {

/// Makes it, 0700, where it is missing. As root in a directory of somebody else, it belongs to its owner.
/// @error DiskFull, IoFailed.
Result<void> make_directory(const std::filesystem::path& directory);

/// A file that was removed from it stays removed, whatever happens to the power. @error DiskFull, IoFailed.
Result<void> sync_directory(const std::filesystem::path& directory);

/// @param reason  an errno. @return DiskFull or IoFailed.
Error directory_error(const std::filesystem::path& directory, int reason);

}  // namespace culvert
