#include "tunnel-core/daemon/port_holder.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace culvert {

namespace fs = std::filesystem;

namespace {

// The inodes of sockets listening on `port`: lines of /proc/net/tcp are "sl local:PORT remote:PORT st …
// inode".
void collect_inodes(const char* table, std::uint16_t port, std::set<std::string>& inodes) {
  std::ifstream lines{table};
  const std::string wanted = fmt::format(":{:04X}", port);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields{line};
    std::string field[10];
    for (std::string& text : field) fields >> text;
    if (field[1].ends_with(wanted) && field[3] == "0A") inodes.insert("socket:[" + field[9] + "]");
  }
}

bool holds_one_of(const fs::path& process, const std::set<std::string>& inodes) {
  std::error_code failure;
  for (fs::directory_iterator entry{process / "fd", failure}, end; !failure && entry != end;
       entry.increment(failure)) {
    std::error_code ignored;
    if (inodes.contains(fs::read_symlink(entry->path(), ignored).string())) return true;
  }
  return false;
}

}  // namespace

std::string port_holder(std::uint16_t port) {
  std::set<std::string> inodes;
  collect_inodes("/proc/net/tcp", port, inodes);
  collect_inodes("/proc/net/tcp6", port, inodes);
  if (inodes.empty()) return {};
  std::error_code failure;
  for (fs::directory_iterator entry{"/proc", failure}, end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string pid = entry->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!holds_one_of(entry->path(), inodes)) continue;
    std::string name;
    std::getline(std::ifstream{entry->path() / "comm"}, name);
    return fmt::format("process {} ({})", pid, name);
  }
  return {};
}

}  // namespace culvert
