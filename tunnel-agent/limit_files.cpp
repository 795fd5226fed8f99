#include "tunnel-agent/limit_files.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tunnel-agent/directory.hpp"
#include "tunnel-core/daemon/config_reader.hpp"
#include "tunnel-core/daemon/files.hpp"
#include "tunnel-core/daemon/quantity.hpp"

namespace culvert {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kSite = "site";
constexpr std::string_view kForward = "forward-";

std::string file_name(const LimitScope& scope) {
  return (scope.empty() ? std::string{kSite} : std::string{kForward} + scope) + ".toml";
}

std::string to_toml(const LimitScope& scope, const BandwidthLimit& limit) {
  std::string windows;
  for (const RateWindow& window : limit.windows) windows += fmt::format("  \"{}\",\n", window.to_text());
  return fmt::format(
      R"(# A bandwidth limit of culvert-agent: {}.
# Made by `culvert-agent limit set`; changes by hand take effect when the agent starts.

# From sources to targets and back: "100 Mbit/s" (bit/s, kbit/s, Mbit/s, Gbit/s), or "unlimited", the default.
up = "{}"
down = "{}"
# Parts of the week with rates of their own, by this host's clock: "mon-fri 08:00-18:00 up 20 Mbit/s down 20 Mbit/s".
windows = [{}]
)",
      scope.empty() ? "all streams of this site" : "the streams of forward " + scope,
      format_rate(limit.rates.up), format_rate(limit.rates.down), windows.empty() ? "" : "\n" + windows);
}

void read_rate(ConfigReader& reader, const char* key, BitRate& out) {
  std::string text = "unlimited";
  reader.text(key, text);
  auto rate = parse_limit_rate("", text);
  if (rate) {
    out = *rate;
  } else {
    reader.reject(key, rate.error().message().substr(1));  // Without the blank behind the empty name.
  }
}

Result<BandwidthLimit> load_limit(const fs::path& file) {
  auto reader = ConfigReader::open(file);
  if (!reader) return std::move(reader).error();
  BandwidthLimit limit;
  read_rate(*reader, "up", limit.rates.up);
  read_rate(*reader, "down", limit.rates.down);
  std::vector<std::string> windows;
  reader->text_list("windows", windows);
  for (const std::string& text : windows) {
    auto window = RateWindow::parse(text);
    const auto set = window ? limit.set_window(window->window, window->rates) : Result<void>{window.error()};
    if (!set) reader->reject("windows", "cannot be used: " + set.error().message());
  }
  if (auto finished = reader->finish(); !finished) return std::move(finished).error();
  return limit;
}

}  // namespace

Result<LimitMap> load_limits(const fs::path& directory) {
  LimitMap limits;
  std::error_code failure;
  for (fs::directory_iterator entry{directory, failure}, end; !failure && entry != end;
       entry.increment(failure)) {
    const fs::path& file = entry->path();
    if (file.extension() != ".toml") continue;
    const std::string stem = file.stem().string();
    if (stem != kSite && !stem.starts_with(kForward)) {
      return Error{Errc::ConfigInvalid,
                   fmt::format("{} limits nothing: call it site.toml or forward-NAME.toml, or remove it",
                               file.string())};
    }
    auto limit = load_limit(file);
    if (!limit) return std::move(limit).error();
    limits[stem == kSite ? LimitScope{} : stem.substr(kForward.size())] = std::move(*limit);
  }
  if (failure && failure != std::errc::no_such_file_or_directory) {
    return Error{Errc::FileUnreadable, fmt::format("cannot read {}: {}; check its owner and permissions",
                                                   directory.string(), failure.message())};
  }
  return limits;
}

Result<void> save_limit(const fs::path& directory, const LimitScope& scope, const BandwidthLimit& limit) {
  const fs::path file = directory / file_name(scope);
  if (!limit.empty()) {
    if (auto made = make_directory(directory); !made) return made;
    return write_file(file, to_toml(scope, limit), 0600);
  }
  if (::unlink(file.c_str()) == 0) return sync_directory(directory);
  if (errno == ENOENT) return {};
  return Error{Errc::IoFailed, fmt::format("cannot remove {}: {}", file.string(), std::strerror(errno))};
}

}  // namespace culvert
