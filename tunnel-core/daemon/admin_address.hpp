// Where DIR/admin.sock is, for both ends, and the messages' shape.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <filesystem>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert {

constexpr char kAdminSocketName[] = "admin.sock";
constexpr std::size_t kMaxAdminRequest = 1 << 20;  ///< Bytes of one line.

/// An address holds 107 characters; DIR may be longer, so it is reached through a descriptor: the address is
/// /proc/self/fd/N/admin.sock. Valid while this object lives.
class AdminAddress {
 public:
  /// @error NotFound (no such directory), IoFailed.
  static Result<AdminAddress> of(const std::filesystem::path& dir);

  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t size() const { return sizeof address_; }
  int directory() const { return directory_.value(); }

 private:
  explicit AdminAddress(UniqueFd directory);

  UniqueFd directory_;
  sockaddr_un address_{};
};

}  // namespace culvert
