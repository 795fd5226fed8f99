#include "tunnel-core/daemon/result_file.hpp"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {

namespace {

namespace fs = std::filesystem;

Error cannot_write(const fs::path& path, int error) {
  return {error == ENOSPC ? Errc::DiskFull : Errc::IoFailed,
          fmt::format("cannot write {}: {}; name another file", path.string(), std::strerror(error))};
}

/// The end of a chain of links, which need not exist; other than behind_links() for one that leads nowhere.
fs::path end_of_links(fs::path path) {
  constexpr int kMostLinks = 40;  // As the kernel.
  std::error_code failed;
  for (int i = 0; i < kMostLinks && fs::is_symlink(path, failed); ++i)
    path = path.parent_path() / fs::read_symlink(path, failed);
  return path;
}

Result<void> write_into(const fs::path& path, std::string_view content) {
  const UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY)};
  if (!fd) return cannot_write(path, errno);
  while (!content.empty()) {
    const ssize_t n = ::write(fd.value(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return cannot_write(path, errno);
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace

Result<void> write_result(const fs::path& path, std::string_view content) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) return cannot_write(path, errno);
    return write_file(end_of_links(path), content, 0644);
  }
  if (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode)) return write_into(path, content);
  const fs::path target = end_of_links(path);
  struct stat found {};
  // A link of /proc may lead to a file that no name leads to any more.
  const bool named =
      ::stat(target.c_str(), &found) == 0 && found.st_ino == status.st_ino && found.st_dev == status.st_dev;
  if (S_ISREG(status.st_mode) && named) return write_file(target, content, 0644);
  return Error{Errc::AlreadyExists,
               fmt::format("{} is nothing that a result is written to; name a file", path.string())};
}

}  // namespace culvert
