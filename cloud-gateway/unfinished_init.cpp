#include "cloud-gateway/unfinished_init.hpp"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace culvert {

namespace {

namespace fs = std::filesystem;

constexpr const char* kCertsDir = "certs";
constexpr std::string_view kCertsFiles[] = {"root.key",      "root.pem",      "sites-ca.key", "sites-ca.pem",
                                            "server-ca.key", "server-ca.pem", "server.key",   "server.pem"};
constexpr std::string_view kStoreFiles[] = {"store.sqlite", "store.sqlite-journal", "store.sqlite-wal",
                                            "store.sqlite-shm"};
constexpr std::string_view kTopNames[] = {kCertsDir,
                                          "store.sqlite",
                                          "store.sqlite-journal",
                                          "store.sqlite-wal",
                                          "store.sqlite-shm",
                                          kUnfinishedConfig,
                                          "lock",
                                          "lost+found"};

/// With the temporaries of write_file(), which the next holder of the lock removes.
bool is_name_of(std::string_view name, std::string_view own) {
  return name.starts_with(own) && (name.size() == own.size() || name.substr(own.size()).starts_with(".tmp-"));
}

Error foreign_entry(const fs::path& path) {
  return Error{Errc::AlreadyExists, path.string() +
                                        " lies beside what an interrupted init left; move it away and "
                                        "repeat, or choose another directory; nothing was changed"};
}

Result<void> require_names(const fs::path& dir, std::span<const std::string_view> own) {
  std::error_code failed;
  for (fs::directory_iterator entry{dir, failed}, end; !failed && entry != end; entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (std::none_of(own.begin(), own.end(), [&](std::string_view each) { return is_name_of(name, each); }))
      return foreign_entry(entry->path());
  }
  if (!failed) return {};
  return Error{Errc::IoFailed, "cannot look into " + dir.string() + ": " + failed.message()};
}

}  // namespace

bool holds_unfinished_init(const fs::path& dir) {
  std::error_code failed;
  if (dir.empty() || fs::exists(fs::symlink_status(dir / "gateway.toml", failed))) return false;
  for (fs::directory_iterator entry{dir, failed}, end; !failed && entry != end; entry.increment(failed)) {
    if (is_name_of(entry->path().filename().string(), kUnfinishedConfig)) return true;
  }
  return false;
}

Result<void> require_leftovers_only(const fs::path& dir) {
  if (auto own = require_names(dir, kTopNames); !own) return own;
  const fs::path certs = dir / kCertsDir;
  std::error_code failed;
  const fs::file_status status = fs::symlink_status(certs, failed);
  if (!fs::exists(status)) return {};
  // A link would lead out of the directory.
  if (!fs::is_directory(status)) return foreign_entry(certs);
  return require_names(certs, kCertsFiles);
}

Result<void> remove_leftovers(const fs::path& dir) {
  const auto remove_one = [](const fs::path& path) -> Result<void> {
    std::error_code failed;
    fs::remove(path, failed);
    if (!failed) return {};
    return Error{Errc::IoFailed,
                 "cannot remove " + path.string() + ", which an interrupted init left: " + failed.message()};
  };
  for (const std::string_view name : kCertsFiles) {
    if (auto removed = remove_one(dir / kCertsDir / name); !removed) return removed;
  }
  if (auto removed = remove_one(dir / kCertsDir); !removed) return removed;
  for (const std::string_view name : kStoreFiles) {
    if (auto removed = remove_one(dir / name); !removed) return removed;
  }
  return {};
}

}  // namespace culvert
