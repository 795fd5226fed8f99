// DIR of the command lines: 0700, one daemon or one offline command at a time.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "tunnel-core/base/result.hpp"

namespace culvert {

/// Creates DIR with its parents (0700) or accepts an empty one. As root on a DIR of somebody else, what is
/// written later gets that owner (write_file does it).
/// @error AlreadyExists when DIR holds anything; nothing is changed then. IoFailed.
Result<void> create_data_dir(const std::filesystem::path& dir);

/// For daemons that start: an offline command takes well under a second.
constexpr std::chrono::milliseconds kDaemonLockPatience{3000};

/// DIR/lock, held by flock until destroyed: a killed process leaves nothing behind. Half-written files of an
/// earlier holder, in DIR and in its directories, are removed by the next one.
class DataDirLock {
 public:
  /// @param patience  how long another holder may take to let go: a daemon waits for a command at work.
  /// @error InUse when another process holds it; NotFound when DIR does not exist; FileUnsafe when others may
  /// write there; IoFailed.
  static Result<DataDirLock> acquire(const std::filesystem::path& dir,
                                     std::chrono::milliseconds patience = {});
  DataDirLock(DataDirLock&& other) noexcept;
  DataDirLock& operator=(DataDirLock&& other) noexcept;
  ~DataDirLock();

 private:
  explicit DataDirLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace culvert
