#include "tunnel-core/daemon/files.hpp"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/signals.hpp"

namespace culvert {

namespace {

namespace fs = std::filesystem;

Error read_error(const fs::path& path, int error) {
  if (error == ENOENT || error == ENOTDIR)
    return {Errc::NotFound, fmt::format("{} does not exist", path.string())};
  const char* advice = error == EACCES ? "; run as its owner or as root" : "";
  return {Errc::FileUnreadable,
          fmt::format("cannot read {}: {}{}", path.string(), std::strerror(error), advice)};
}

Error write_error(const fs::path& path, int error) {
  // EFBIG is what a file size limit of the process (ulimit -f) answers.
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return {Errc::DiskFull,
            fmt::format("cannot write {}: {}; free some space there and try again, nothing was changed",
                        path.string(), std::strerror(error))};
  }
  const char* advice =
      error == EACCES || error == EPERM ? "; run as the owner of the directory or as root" : "";
  return {Errc::IoFailed, fmt::format("cannot write {}: {}{}", path.string(), std::strerror(error), advice)};
}

Result<UniqueFd> open_for_reading(const fs::path& path) {
  // Non-blocking, so that a FIFO of that name does not hang us; regular files do not notice.
  UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!fd) return read_error(path, errno);
  return fd;
}

Result<std::string> read_all(const fs::path& path, const UniqueFd& fd) {
  std::string content;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(fd.value(), buffer, sizeof buffer);
    if (n == 0) return content;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return read_error(path, errno);
    content.append(buffer, static_cast<std::size_t>(n));
  }
}

constexpr std::string_view kTemporary = ".tmp-";
constexpr std::string_view kUnique = "XXXXXX";  ///< Replaced by mkostemp.

bool is_temporary(std::string_view name) {
  const std::size_t tail = kTemporary.size() + kUnique.size();
  return name.size() > tail && name.substr(name.size() - tail).starts_with(kTemporary);
}

/// A file under a name of its own until it is complete; removed when it never was. Its lock says that its
/// writer lives.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& path)
      : name_(path.string().append(kTemporary).append(kUnique)), fd_(::mkostemp(name_.data(), O_CLOEXEC)) {
    if (fd_) ::flock(fd_.value(), LOCK_EX | LOCK_NB);
  }
  ~TemporaryFile() {
    if (fd_) ::unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  /// All of these return 0 or errno.
  int created() const { return fd_ ? 0 : errno_; }
  int fill(std::string_view content, mode_t mode, const struct stat& directory);
  int rename_to(const fs::path& path);

 private:
  SignalsDeferred no_signal_;  ///< Interrupted half-way, it would stay behind.
  std::string name_;
  UniqueFd fd_;
  int errno_ = errno;
};

int TemporaryFile::fill(std::string_view content, mode_t mode, const struct stat& directory) {
  if (::geteuid() == 0 && ::fchown(fd_.value(), directory.st_uid, directory.st_gid) != 0) return errno;
  if (::fchmod(fd_.value(), mode) != 0) return errno;
  while (!content.empty()) {
    const ssize_t n = ::write(fd_.value(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return ::fsync(fd_.value()) == 0 ? 0 : errno;
}

int TemporaryFile::rename_to(const fs::path& path) {
  if (::rename(name_.c_str(), path.c_str()) != 0) return errno;
  fd_ = {};
  return 0;
}

}  // namespace

std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string{"'\\''"} : std::string{c};
  return quoted + "'";
}

fs::path behind_links(const fs::path& path) {
  std::error_code failed;
  if (!fs::is_symlink(path, failed)) return path;
  fs::path real = fs::canonical(path, failed);
  return failed ? path : real;
}

Result<std::string> read_file(const fs::path& path) {
  auto fd = open_for_reading(path);
  if (!fd) return std::move(fd).error();
  return read_all(path, *fd);
}

Result<void> write_file(const fs::path& path, std::string_view content, mode_t mode) {
  const fs::path directory = path.has_parent_path() ? path.parent_path() : fs::path{"."};
  const UniqueFd directory_fd{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  struct stat status {};
  if (!directory_fd || ::fstat(directory_fd.value(), &status) != 0) return write_error(path, errno);

  TemporaryFile temporary{path};
  if (const int error = temporary.created(); error != 0) return write_error(path, error);
  if (const int error = temporary.fill(content, mode, status); error != 0) return write_error(path, error);
  if (const int error = temporary.rename_to(path); error != 0) return write_error(path, error);
  // Some file systems cannot sync a directory, and say EINVAL.
  if (::fsync(directory_fd.value()) != 0 && errno != EINVAL) return write_error(path, errno);
  return {};
}

void remove_abandoned_files(const fs::path& directory) {
  std::error_code failed;
  std::error_code ignored;
  for (fs::directory_iterator entry{directory, failed}, end; !failed && entry != end;
       entry.increment(failed)) {
    const fs::path& path = entry->path();
    if (!is_temporary(path.filename().string())) continue;
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    struct stat status {};
    if (!fd || ::fstat(fd.value(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (::flock(fd.value(), LOCK_EX | LOCK_NB) == 0) fs::remove(path, ignored);
  }
}

namespace {

Result<void> refuse_shared(const fs::path& path, mode_t mode) {
  if ((mode & 066) == 0) return {};
  return Error{
      Errc::FileUnsafe,
      fmt::format("{} is secret, but others may read or write it (mode {:04o}); mend it with: chmod 600 {}",
                  path.string(), mode & 07777u, shell_word(path.string()))};
}

}  // namespace

Result<void> require_private(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return read_error(path, errno);
  return refuse_shared(path, status.st_mode);
}

Result<std::string> read_secret_file(const fs::path& path) {
  auto fd = open_for_reading(path);
  if (!fd) return std::move(fd).error();
  struct stat status {};
  if (::fstat(fd->value(), &status) != 0) return read_error(path, errno);
  // Asked of the open file: what is checked is what is read.
  if (auto fit = refuse_shared(path, status.st_mode); !fit) return std::move(fit).error();
  return read_all(path, *fd);
}

}  // namespace culvert
