#include "tunnel-agent/forward.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "certs/site_identity.hpp"
#include "tunnel-agent/directory.hpp"
#include "tunnel-core/daemon/config_reader.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {

namespace fs = std::filesystem;

namespace {

std::string toml_list(const std::vector<std::string>& entries) {
  std::string text = "[";
  for (const std::string& entry : entries) text += (text.size() > 1 ? ", \"" : "\"") + entry + "\"";
  return text + "]";
}

std::string to_toml(const Forward& forward) {
  std::vector<std::string> bind;
  for (const IpAddress& address : forward.bind) bind.push_back(address.to_text());
  std::vector<std::string> allow_from;
  for (const Network& network : forward.allow_from) allow_from.push_back(network.to_text());
  return fmt::format(
      R"(# A forward of culvert-agent. Made by `culvert-agent forward add`; changes by hand take effect when the agent starts.

# The target at the gateway. Default: the name of this file.
target = "{}"
# The port that is opened, 1 to 65535.
port = {}
# The addresses it is opened on, like ["192.0.2.7", "::1"]. Default: [], which means all, IPv4 and IPv6.
bind = {}
# The networks whose hosts may connect, like ["10.0.0.0/8"]. Default: [], which means all.
allow_from = {}
# Close the port 5 s after session or target is known to be dead, so that clients with several hosts move on.
close_when_down = {}
# The share of each of its streams while several want the line, 1 to 16. Default: 4.
weight = {}
)",
      forward.target, forward.port, toml_list(bind), toml_list(allow_from), forward.close_when_down,
      forward.weight);
}

template <class T>
void read_list(ConfigReader& reader, std::string_view key, Result<T> (*parse)(std::string_view),
               std::vector<T>& out) {
  std::vector<std::string> texts;
  reader.text_list(key, texts);
  for (const std::string& text : texts) {
    auto value = parse(text);
    if (value) {
      out.push_back(std::move(*value));
    } else {
      reader.reject(key, value.error().message());
    }
  }
}

}  // namespace

std::vector<IpAddress> Forward::listen_addresses() const {
  return bind.empty() ? std::vector<IpAddress>{IpAddress::any_v4(), IpAddress::any_v6()} : bind;
}

bool Forward::allows(const IpAddress& source) const {
  return allow_from.empty() || std::any_of(allow_from.begin(), allow_from.end(),
                                           [&](const Network& network) { return network.contains(source); });
}

Result<void> check_bind(const std::vector<IpAddress>& bind) {
  for (auto later = bind.begin(); later != bind.end(); ++later) {
    for (auto earlier = bind.begin(); earlier != later; ++earlier) {
      if (*earlier == *later) {
        return Error{Errc::UsageInvalid,
                     fmt::format("names {} twice; name each address once", later->to_text())};
      }
      if (earlier->is_v6() != later->is_v6() || (!earlier->is_any() && !later->is_any())) continue;
      const IpAddress& all = earlier->is_any() ? *earlier : *later;
      const IpAddress& one = earlier->is_any() ? *later : *earlier;
      return Error{Errc::UsageInvalid, fmt::format("names {} beside {}, which means every address of that "
                                                   "family; leave one of the two out",
                                                   one.to_text(), all.to_text())};
    }
  }
  return {};
}

Result<Forward> load_forward(const fs::path& file) {
  auto reader = ConfigReader::open(file);
  if (!reader) return std::move(reader).error();
  Forward forward;
  forward.name = file.stem().string();
  forward.target = forward.name;
  reader->text("target", forward.target);
  std::uint64_t port = 0;
  reader->number("port", port, 1, 65535);
  if (port == 0) reader->reject("port", "is missing; write port = 10003, or any free port");
  forward.port = static_cast<std::uint16_t>(port);
  if (auto named = certs::check_name("target", forward.target); !named) {
    reader->reject("target", named.error().message());
  }
  read_list<IpAddress>(*reader, "bind", IpAddress::parse, forward.bind);
  if (auto good = check_bind(forward.bind); !good) reader->reject("bind", good.error().message());
  read_list<Network>(*reader, "allow_from", Network::parse, forward.allow_from);
  reader->flag("close_when_down", forward.close_when_down);
  std::uint64_t weight = kDefaultWeight;
  reader->number("weight", weight, kLeastWeight, kMostWeight);
  forward.weight = static_cast<std::uint8_t>(weight);
  if (auto finished = reader->finish(); !finished) return std::move(finished).error();
  return forward;
}

Result<std::vector<ForwardFile>> load_forwards(const fs::path& directory) {
  std::error_code failure;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry{directory, failure}, end; !failure && entry != end;
       entry.increment(failure)) {
    if (entry->path().extension() == ".toml") files.push_back(entry->path());
  }
  if (failure && failure != std::errc::no_such_file_or_directory) {
    return Error{Errc::FileUnreadable, fmt::format("cannot read {}: {}; check its owner and permissions",
                                                   directory.string(), failure.message())};
  }
  std::sort(files.begin(), files.end());
  std::vector<ForwardFile> forwards;
  for (const fs::path& file : files) {
    const std::string name = file.stem().string();
    if (certs::check_name("forward", name)) {
      forwards.push_back({name, load_forward(file)});
      continue;
    }
    forwards.push_back({name, Error{Errc::ConfigInvalid,
                                    fmt::format("{}: a forward is called like its file, and that is no name; "
                                                "rename the file (1 to 63 of a-z, 0-9 and '-', then .toml)",
                                                file.string())}});
  }
  return forwards;
}

Result<void> save_forward(const fs::path& directory, const Forward& forward) {
  if (auto made = make_directory(directory); !made) return made;
  return write_file(directory / (forward.name + ".toml"), to_toml(forward), 0600);
}

Result<void> remove_forward(const fs::path& directory, const std::string& name) {
  const fs::path file = directory / (name + ".toml");
  if (::unlink(file.c_str()) != 0) {
    if (errno == ENOENT) {
      return Error{
          Errc::NotFound,
          fmt::format("there is no forward '{}'; `culvert-agent forward list` shows what there is", name)};
    }
    return directory_error(directory, errno);
  }
  return sync_directory(directory);
}

}  // namespace culvert
