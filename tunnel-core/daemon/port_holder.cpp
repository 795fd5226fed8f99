#include "tunnel-core/daemon/port_holder.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

namespace culvert {

namespace fs = std::filesystem;

namespace {

using Address = std::array<std::uint8_t, 16>;  // IPv4 as ::ffff:192.0.2.7.
using Inodes = std::set<std::string>;          // As links of /proc/PID/fd name sockets.

constexpr std::size_t kV4At = 12;
constexpr Address kAnyV4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0};
constexpr Address kAnyV6{};

/// Whether a listening socket keeps another one from an address.
enum class Overlap { None, Possible, Certain };

struct Listening {
  Inodes certain;
  Inodes possible;
};

std::optional<Address> parse_address(std::string_view text) {
  const std::string copy{text};
  Address address = kAnyV4;
  if (::inet_pton(AF_INET, copy.c_str(), address.data() + kV4At) == 1) return address;
  if (::inet_pton(AF_INET6, copy.c_str(), address.data()) == 1) return address;
  return {};
}

/// "0100007F", or four such words: each is four bytes of the address as this machine reads a number.
std::optional<Address> parse_table_address(std::string_view hex) {
  if (hex.size() != 8 && hex.size() != 32) return {};
  Address address = kAnyV4;
  std::size_t at = address.size() - hex.size() / 2;
  for (; !hex.empty(); hex.remove_prefix(8), at += 4) {
    std::uint32_t word = 0;
    const auto read = std::from_chars(hex.data(), hex.data() + 8, word, 16);
    if (read.ec != std::errc{} || read.ptr != hex.data() + 8) return {};
    std::memcpy(address.data() + at, &word, sizeof word);
  }
  return address;
}

bool is_v4(const Address& address) {
  return std::equal(address.begin(), address.begin() + kV4At, kAnyV4.begin());
}

bool is_any(const Address& address) {
  return address == kAnyV4 || address == kAnyV6;
}

Overlap overlap(const Address& held, const std::optional<Address>& wanted) {
  if (!wanted) return Overlap::Certain;
  if (is_v4(held) == is_v4(*wanted)) {
    return held == *wanted || is_any(held) || is_any(*wanted) ? Overlap::Certain : Overlap::None;
  }
  // [::] may take IPv4 as well: the table does not tell. What is IPv4 keeps no IPv6-only socket away.
  return held == kAnyV6 ? Overlap::Possible : Overlap::None;
}

// Lines of /proc/net/tcp are "sl local:PORT remote:PORT st … inode"; 0A is listening.
void collect(const char* table, std::uint16_t port, const std::optional<Address>& wanted,
             Listening& listening) {
  std::ifstream lines{table};
  const std::string port_text = fmt::format(":{:04X}", port);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields{line};
    std::string field[10];
    for (std::string& text : field) fields >> text;
    if (!field[1].ends_with(port_text) || field[3] != "0A") continue;
    const auto held =
        parse_table_address(std::string_view{field[1]}.substr(0, field[1].size() - port_text.size()));
    if (!held) continue;
    const std::string inode = "socket:[" + field[9] + "]";
    switch (overlap(*held, wanted)) {
      case Overlap::None:
        break;
      case Overlap::Possible:
        listening.possible.insert(inode);
        break;
      case Overlap::Certain:
        listening.certain.insert(inode);
        break;
    }
  }
}

/// Those of `inodes` that the process has open.
Inodes held_by(const fs::path& process, const Inodes& inodes) {
  Inodes held;
  std::error_code failure;
  for (fs::directory_iterator entry{process / "fd", failure}, end; !failure && entry != end;
       entry.increment(failure)) {
    std::error_code ignored;
    const std::string link = fs::read_symlink(entry->path(), ignored).string();
    if (inodes.contains(link)) held.insert(link);
  }
  return held;
}

std::string describe(const std::string& pid) {
  std::string name;
  std::getline(std::ifstream{fs::path{"/proc"} / pid / "comm"}, name);
  return fmt::format("process {} ({})", pid, name);
}

std::string process_with(const Inodes& inodes) {
  if (inodes.empty()) return {};
  const std::string own = std::to_string(::getpid());
  std::error_code failure;
  for (fs::directory_iterator entry{"/proc", failure}, end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string pid = entry->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos || pid == own) continue;
    if (!held_by(entry->path(), inodes).empty()) return describe(pid);
  }
  // A holder that /proc hides from us is still not us.
  return held_by("/proc/self", inodes) == inodes ? describe(own) : std::string{};
}

}  // namespace

std::string port_holder(std::uint16_t port, std::string_view address) {
  const std::optional<Address> wanted = parse_address(address);
  Listening listening;
  collect("/proc/net/tcp", port, wanted, listening);
  collect("/proc/net/tcp6", port, wanted, listening);
  return process_with(listening.certain.empty() ? listening.possible : listening.certain);
}

}  // namespace culvert
