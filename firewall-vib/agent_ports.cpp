#include "firewall-vib/agent_ports.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include "tunnel-core/daemon/files.hpp"

namespace culvert::firewall {

namespace {

namespace fs = std::filesystem;

Error wrong(const fs::path& file, const std::string& why) {
  return {Errc::ConfigInvalid, fmt::format("{}: {}", file.string(), why)};
}

/// Whole validation is the agent's; here only what concerns ports is read.
Result<toml::table> read_toml(const fs::path& file) {
  auto text = read_file(file);
  if (!text) return std::move(text).error();
  try {
    return toml::parse(*text, file.string());
  } catch (const toml::parse_error& error) {
    return wrong(file, fmt::format("line {}: {}", error.source().begin.line, error.description()));
  }
}

Result<void> add_forwards(const fs::path& directory, PortRanges& ports) {
  std::error_code failed;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry{directory, failed}, end; !failed && entry != end;
       entry.increment(failed)) {
    if (entry->path().extension() == ".toml") files.push_back(entry->path());
  }
  if (failed && failed != std::errc::no_such_file_or_directory)
    return Error{Errc::FileUnreadable,
                 fmt::format("cannot read {}: {}", directory.string(), failed.message())};
  for (const fs::path& file : files) {
    const auto forward = read_toml(file);
    if (!forward) return forward.error();
    const auto port = (*forward)["port"].value_exact<std::int64_t>();
    if (!port || *port < 1 || *port > 65535) return wrong(file, "'port' has to be a number from 1 to 65535");
    const auto number = static_cast<std::uint16_t>(*port);
    ports.push_back({number, number});
  }
  return {};
}

}  // namespace

Result<PortRanges> ports_of_agent(const fs::path& named) {
  const fs::path config = behind_links(named);
  const auto table = read_toml(config);
  if (!table) return table.error();
  const std::string pool = (*table)["forwards"]["port_pool"].value_or(std::string{kDefaultPool});
  auto ports = parse_ports(pool);
  if (!ports) return wrong(config, "port_pool: " + ports.error().message());
  const fs::path here = config.has_parent_path() ? config.parent_path() : fs::path{"."};
  const fs::path data = here / (*table)["data_dir"].value_or(std::string{"."});
  if (auto done = add_forwards(data / "forwards.d", *ports); !done) return std::move(done).error();
  return merge_ports(std::move(*ports));
}

}  // namespace culvert::firewall
