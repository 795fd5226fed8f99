// Logging for both daemons: one line per event, on spdlog. Nothing secret is ever passed in.
#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>
#include <string>

#include "tunnel-core/base/result.hpp"

namespace culvert {

/// The `[log]` table of agent.toml and gateway.toml.
struct LogConfig {
  std::string level = "info";     ///< trace, debug, info, warning, error.
  std::string format = "text";    ///< text, or json: one object a line.
  std::filesystem::path file{};   ///< Empty: stderr, which systemd's journal keeps.
  std::size_t max_size_mib = 16;  ///< Rotate at this size; 1 to 1,024.
  std::size_t max_files = 8;      ///< Rotated files kept; 1 to 100.
};

/// Replaces spdlog's default logger. Text lines on a terminal or file carry time, level and message; where
/// stderr is the journal (JOURNAL_STREAM) the time is left to it and the level becomes its `<N>` prefix.
/// Control characters in a message are escaped, so that nothing a peer sends can forge a line. A thread of
/// the log's own does the writing, so that a slow disk stops no data thread. Lines that wait too long in its
/// queue of 4,096 are dropped, oldest first, and their number is logged. A normal end of the process writes
/// what is queued. A full disk or a file that becomes unwritable stops nothing either: stderr says so once
/// and takes the lines until the file does again. SIGPIPE is ignored from here on, so that stderr may lose
/// its reader.
/// @error ConfigInvalid (level, format, ranges), IoFailed (directory of `file` missing or unwritable).
Result<void> start_logging(const LogConfig& config);

/// Returns when everything logged before has been written. Later lines are written at once, by their own
/// thread.
void stop_logging();

}  // namespace culvert
