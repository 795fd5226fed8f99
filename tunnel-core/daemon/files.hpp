// Files that must never be half-written or readable by others.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert {

/// For a command line that is to be pasted into a shell: quoted where it has to be.
std::string shell_word(const std::string& text);

/// The file that a link leads to, absolute: a package's /etc/culvert/gateway.toml is a link into the data
/// directory. As given when it is no link, or leads nowhere.
std::filesystem::path behind_links(const std::filesystem::path& path);

/// @error NotFound, FileUnreadable.
Result<std::string> read_file(const std::filesystem::path& path);

/// Writes `path.tmp-XXXX` beside it, fsyncs, renames, fsyncs the directory: readers see old or new, never
/// half, and after an error the temporary is gone. The owner becomes the directory's owner when run as root.
/// @error DiskFull, IoFailed.
Result<void> write_file(const std::filesystem::path& path, std::string_view content, mode_t mode);

/// Removes what write_file() left in `directory` (not below it) when its process was killed half-way. Files
/// that a living process is writing stay. What cannot be removed harms nobody, so nothing is reported.
void remove_abandoned_files(const std::filesystem::path& directory);

/// Refused when group or others may read or write it; the message has the chmod that mends it.
/// @error NotFound, FileUnreadable, FileUnsafe.
Result<void> require_private(const std::filesystem::path& path);

/// A secret file: refused when group or others may read or write it; the message has the chmod that mends it.
/// @error NotFound, FileUnreadable, FileUnsafe.
Result<std::string> read_secret_file(const std::filesystem::path& path);

}  // namespace culvert
