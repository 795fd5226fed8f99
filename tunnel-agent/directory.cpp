#include "tunnel-agent/directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tunnel-core/base/unique_fd.hpp"

namespace culvert {

namespace fs = std::filesystem;

Error directory_error(const fs::path& directory, int reason) {
  return Error{reason == ENOSPC ? Errc::DiskFull : Errc::IoFailed,
               fmt::format("cannot write in {}: {}", directory.string(), std::strerror(reason))};
}

Result<void> make_directory(const fs::path& directory) {
  if (::mkdir(directory.c_str(), 0700) != 0) {
    if (errno == EEXIST) return {};
    return directory_error(directory, errno);
  }
  struct stat parent {};
  if (::geteuid() == 0 && ::stat(directory.parent_path().c_str(), &parent) == 0) {
    if (::chown(directory.c_str(), parent.st_uid, parent.st_gid) != 0)
      return directory_error(directory, errno);
  }
  return {};
}

Result<void> sync_directory(const fs::path& directory) {
  const UniqueFd opened{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!opened || ::fsync(opened.value()) != 0) return directory_error(directory, errno);
  return {};
}

}  // namespace culvert
