// Where a command writes what it made: the path that a person named.
#pragma once

#include <filesystem>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert {

/// A regular file or a new one as write_file() does it (mode 0644), behind symbolic links, which stay; a
/// character device or a FIFO (/dev/stdout) is written into and stays what it is.
/// @error DiskFull, IoFailed; AlreadyExists for a directory, a disk or a socket.
Result<void> write_result(const std::filesystem::path& path, std::string_view content);

}  // namespace culvert
