#include "tunnel-core/daemon/common_config.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "tunnel-core/daemon/files.hpp"

namespace culvert {
namespace {

/// The limit of this process's own cgroup, where the container sees it as the root; absent or `max`: none.
std::uint64_t cgroup_memory() {
  const auto text = read_file("/sys/fs/cgroup/memory.max");
  std::uint64_t limit = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), limit);
  return limit;
}

}  // namespace

void read_log(ConfigReader& reader, LogConfig& log) {
  reader.choice("log.level", log.level, {"trace", "debug", "info", "warning", "error"});
  reader.choice("log.format", log.format, {"text", "json"});
  reader.path("log.file", log.file);
  std::uint64_t size = log.max_size_mib;
  std::uint64_t files = log.max_files;
  reader.number("log.max_size_mib", size, 1, 1024);
  reader.number("log.max_files", files, 1, 100);
  log.max_size_mib = size;
  log.max_files = files;
}

ByteCount usable_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_size = ::sysconf(_SC_PAGESIZE);
  const std::uint64_t ram = pages > 0 && page_size > 0
                                ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_size)
                                : (2_GiB).value;
  const std::uint64_t limit = cgroup_memory();
  return ByteCount{limit == 0 ? ram : std::min(ram, limit)};
}

ByteCount automatic_session_memory(ByteCount memory) {
  return std::clamp(ByteCount{memory.value / 8}, 64_MiB, 512_MiB);
}

ByteCount automatic_process_memory(ByteCount memory, ByteCount session) {
  return std::max(ByteCount{memory.value / 4}, session);
}

void check_memory(ConfigReader& reader, ByteCount session, ByteCount process) {
  if (process < session)
    reader.reject("limits.process_memory", "is less than session_memory; raise it, or lower session_memory");
}

}  // namespace culvert
