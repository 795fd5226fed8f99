#include "tunnel-core/daemon/data_dir.hpp"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kLockRetry{20};

Error create_error(const fs::path& dir, const std::error_code& error) {
  const bool full = error == std::errc::no_space_on_device;
  return {
      full ? Errc::DiskFull : Errc::IoFailed,
      fmt::format("cannot create the directory {}: {}; choose another with --data, or run as a user who may "
                  "write there",
                  dir.string(), error.message())};
}

/// Makes the new entry in `dir` durable. Best effort: the files that follow report what is really wrong.
void sync_directory(const fs::path& dir) {
  const UniqueFd fd{::open(dir.empty() ? "." : dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (fd) static_cast<void>(::fsync(fd.value()));
}

Result<void> require_empty(const fs::path& dir) {
  std::error_code error;
  for (fs::directory_iterator entry{dir, error}, end; !error && entry != end; entry.increment(error)) {
    const fs::path name = entry->path().filename();
    if (name == "lock" || name == "lost+found") continue;
    return Error{
        Errc::AlreadyExists,
        fmt::format("{} is in use: it holds {}; choose an empty or new directory, nothing was changed",
                    dir.string(), name.string())};
  }
  if (error) return create_error(dir, error);
  return {};
}

/// The holder's number, for the message only: the lock itself is what counts.
std::string holder_of(int fd) {
  char text[16] = {};
  const ssize_t n = ::pread(fd, text, sizeof text - 1, 0);
  if (n <= 0 || text[0] < '1' || text[0] > '9') return "another process";
  return fmt::format("process {}", std::string_view{text}.substr(0, std::string_view{text}.find('\n')));
}

void write_holder(int fd) {
  const std::string text = std::to_string(::getpid()) + "\n";
  // On a full disk the message of the next one is poorer, and that is all.
  if (::ftruncate(fd, 0) == 0) static_cast<void>(::pwrite(fd, text.data(), text.size(), 0) < 0);
}

void remove_abandoned(const fs::path& dir) {
  remove_abandoned_files(dir);
  std::error_code failed;
  std::error_code ignored;
  for (fs::directory_iterator entry{dir, failed}, end; !failed && entry != end; entry.increment(failed)) {
    if (fs::is_directory(entry->symlink_status(ignored))) remove_abandoned_files(entry->path());
  }
}

}  // namespace

Result<void> create_data_dir(const fs::path& dir) {
  if (dir.empty()) {
    return Error{Errc::UsageInvalid,
                 "the name of the directory is empty; give one, like --data /var/lib/culvert"};
  }
  std::error_code error;
  const fs::file_status status = fs::status(dir, error);
  if (fs::exists(status)) {
    if (!fs::is_directory(status)) {
      return Error{Errc::AlreadyExists,
                   fmt::format("{} is not a directory; choose another with --data", dir.string())};
    }
    if (auto empty = require_empty(dir); !empty) return empty;
    fs::permissions(dir, fs::perms::owner_all, error);
    if (error) return create_error(dir, error);
    return {};
  }
  const fs::path absolute = fs::absolute(dir, error).lexically_normal();
  const fs::path clean = absolute.has_filename() ? absolute : absolute.parent_path();
  if (!error) fs::create_directories(clean.parent_path(), error);
  if (error) return create_error(dir, error);
  if (::mkdir(clean.c_str(), 0700) != 0) return create_error(dir, {errno, std::generic_category()});
  sync_directory(clean.parent_path());
  return {};
}

Result<DataDirLock> DataDirLock::acquire(const fs::path& dir, std::chrono::milliseconds patience) {
  const fs::path path = dir / "lock";
  // Root may work in a directory of somebody else: a symbolic link there must not lead us out of it.
  UniqueFd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return Error{Errc::NotFound,
                   fmt::format("{} is not a data directory: it does not exist", dir.string())};
    }
    return Error{Errc::IoFailed, fmt::format("cannot open {}: {}; run as the owner of {} or as root",
                                             path.string(), std::strerror(errno), dir.string())};
  }
  const auto until = std::chrono::steady_clock::now() + patience;
  while (::flock(fd.value(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) {
      if (std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(kLockRetry);
        continue;
      }
      return Error{Errc::InUse, fmt::format("{} is in use by {}; stop it first, or choose another directory",
                                            dir.string(), holder_of(fd.value()))};
    }
    return Error{Errc::IoFailed, fmt::format("cannot lock {}: {}", path.string(), std::strerror(errno))};
  }
  struct stat status {};
  const bool known = ::stat(dir.c_str(), &status) == 0;
  if (known && (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Error{Errc::FileUnsafe,
                 fmt::format("others can put files into {} (mode {:04o}); mend it with: chmod 700 {}",
                             dir.string(), status.st_mode & 07777u, shell_word(dir.string()))};
  }
  if (known && ::geteuid() == 0) {
    static_cast<void>(::fchown(fd.value(), status.st_uid, status.st_gid) < 0);
  }
  write_holder(fd.value());
  remove_abandoned(dir);
  return DataDirLock{fd.release()};
}

DataDirLock::DataDirLock(DataDirLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

DataDirLock& DataDirLock::operator=(DataDirLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

// Closing releases the lock. The file stays: removing it would let two processes lock two files of one name.
DataDirLock::~DataDirLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace culvert
