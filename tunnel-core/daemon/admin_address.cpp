#include "tunnel-core/daemon/admin_address.hpp"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace culvert {

Result<AdminAddress> AdminAddress::of(const std::filesystem::path& dir) {
  UniqueFd directory{::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (!directory) {
    const bool absent = errno == ENOENT || errno == ENOTDIR;
    return Error{absent ? Errc::NotFound : Errc::IoFailed,
                 fmt::format("cannot open the directory {}: {}", dir.string(), std::strerror(errno))};
  }
  return AdminAddress{std::move(directory)};
}

AdminAddress::AdminAddress(UniqueFd directory) : directory_(std::move(directory)) {
  address_.sun_family = AF_UNIX;
  fmt::format_to_n(address_.sun_path, sizeof address_.sun_path - 1, "/proc/self/fd/{}/{}", directory_.value(),
                   kAdminSocketName);
}

}  // namespace culvert
