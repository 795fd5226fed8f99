#include "firewall-vib/agent_ports.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>

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

/// The first mistake is kept; after it, what is read are defaults.
class AgentFile {
 public:
  AgentFile(const fs::path& file, const toml::table& root) : file_(file), root_(root) {}

  Result<AgentPorts> read() {
    only_known(root_, "the file",
               {"data_dir", "gateway_url", "identity", "trust", "proxy", "transport", "forwards", "depot",
                "lanes", "limits", "log"});
    const toml::table* const forwards = table("forwards");
    const toml::table* const depot = table("depot");
    only_known(*forwards, "[forwards]", {"port_pool"});
    only_known(*depot, "[depot]", {"enabled", "port", "bind"});
    const std::string pool =
        value(*forwards, "port_pool", std::string{kDefaultPool}, "a text like \"10000-10010\"");
    const std::string data_dir = value(root_, "data_dir", std::string{"."}, "a text: a directory");
    const std::string url =
        value(root_, "gateway_url", std::string{}, "a text like \"https://gateway.example.net\"");
    AgentPorts ports;
    const bool enabled = value(*depot, "enabled", true, "true or false");
    const auto port = value(*depot, "port", std::int64_t{80}, "a number from 1 to 65535");
    if (port < 1 || port > 65535) fail("port", "has to be a number from 1 to 65535");
    ports.depot = enabled ? std::optional{static_cast<std::uint16_t>(port)} : std::nullopt;
    if (!root_.contains("gateway_url"))
      fail("gateway_url", "is missing, so this is no agent.toml; name the agent's");
    ports.gateway = port_of(url);
    auto parsed = parse_ports(pool);
    if (!parsed) fail("port_pool", "cannot be used: " + parsed.error().message());
    if (mistake_) return *mistake_;
    ports.forwards = std::move(*parsed);
    const fs::path here = file_.has_parent_path() ? file_.parent_path() : fs::path{"."};
    if (auto done = add_forwards(here / data_dir / "forwards.d", ports.forwards); !done)
      return std::move(done).error();
    ports.forwards = merge_ports(std::move(ports.forwards));
    return ports;
  }

 private:
  void fail(std::string_view key, const std::string& why) {
    if (!mistake_) mistake_ = wrong(file_, fmt::format("'{}' {}", key, why));
  }

  void only_known(const toml::table& table, const char* where,
                  std::initializer_list<std::string_view> known) {
    for (const auto& [key, ignored] : table) {
      if (std::find(known.begin(), known.end(), key.str()) == known.end())
        fail(key.str(),
             fmt::format("is no key of {} in an agent.toml; it has {}", where, fmt::join(known, ", ")));
    }
  }

  const toml::table* table(const char* key) {
    static const toml::table kEmpty;
    const toml::node* const node = root_.get(key);
    if (node == nullptr) return &kEmpty;
    if (const toml::table* found = node->as_table()) return found;
    fail(key, fmt::format("has to be a table; write [{}]", key));
    return &kEmpty;
  }

  template <class T>
  T value(const toml::table& table, const char* key, T absent, const char* kind) {
    const toml::node* const node = table.get(key);
    if (node == nullptr) return absent;
    const auto found = node->value_exact<T>();
    if (!found) fail(key, fmt::format("has to be {}", kind));
    return found.value_or(absent);
  }

  /// The agent itself knows all that can be wrong with a URL.
  std::uint16_t port_of(std::string_view url) {
    constexpr std::string_view kScheme = "https://";
    constexpr std::uint16_t kHttps = 443;
    std::string_view host = url.substr(std::min(url.size(), kScheme.size()));
    host = host.substr(0, host.find('/'));
    const std::size_t colon = host.rfind(':');
    if (colon == std::string_view::npos || host.ends_with(']')) return kHttps;
    std::uint16_t port = 0;
    const auto [end, failed] = std::from_chars(host.data() + colon + 1, host.data() + host.size(), port);
    if (failed != std::errc{} || end != host.data() + host.size() || port == 0)
      fail("gateway_url", "has no port from 1 to 65535 behind its colon");
    return port;
  }

  const fs::path& file_;
  const toml::table& root_;
  std::optional<Error> mistake_;
};

}  // namespace

Result<AgentPorts> ports_of_agent(const fs::path& named) {
  const fs::path config = behind_links(named);
  const auto table = read_toml(config);
  if (!table && table.error().code() == Errc::NotFound) {
    return Error{Errc::NotFound, fmt::format("{} does not exist; name the agent's agent.toml with --config",
                                             config.string())};
  }
  if (!table) return table.error();
  return AgentFile{config, *table}.read();
}

}  // namespace culvert::firewall
