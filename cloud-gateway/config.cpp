#include "cloud-gateway/config.hpp"

#include <algorithm>

#include "certs/server_name.hpp"
#include "cloud-gateway/public_url.hpp"
#include "cloud-gateway/unfinished_init.hpp"
#include "tunnel-core/daemon/common_config.hpp"
#include "tunnel-core/daemon/config_reader.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {

namespace {

namespace fs = std::filesystem;

constexpr ByteCount kMaxMemory{std::uint64_t{1} << 44};
/// Below this a session cannot hold one lane's bytes in flight.
constexpr ByteCount kMinMemory = 8_MiB;

void read_limits(ConfigReader& reader, GatewayLimits& limits) {
  reader.bytes("limits.session_memory", limits.session_memory, 0_B, kMaxMemory);
  reader.bytes("limits.process_memory", limits.process_memory, 0_B, kMaxMemory);
  reader.number("limits.streams_per_session", limits.streams_per_session, 1, 1'000'000);
  reader.number("limits.lanes_per_session", limits.lanes_per_session, 1, 32);
  reader.number("limits.dials_per_session", limits.dials_per_session, 1, 1'000'000);
  reader.number("limits.dials", limits.dials, 1, 1'000'000);
  reader.number("limits.guest_connections", limits.guest_connections, 16, 1'000'000);
  reader.duration("limits.dial_timeout", limits.dial_timeout, 1s, 10min);
  reader.duration("limits.resume_deadline", limits.resume_deadline, 1s, 24h);
  reader.duration("limits.drain_timeout", limits.drain_timeout, 0s, 1h);
  reader.number("limits.threads", limits.threads, 0, 1024);
  for (const auto& [key, value] : {std::pair{"limits.session_memory", limits.session_memory},
                                   std::pair{"limits.process_memory", limits.process_memory}}) {
    if (value > 0_B && value < kMinMemory)
      reader.reject(key, "is too small; write \"8 MiB\" or more, or 0 for automatic");
  }
  if (limits.session_memory > 0_B && limits.process_memory > 0_B)
    check_memory(reader, limits.session_memory, limits.process_memory);
}

void read_listen(ConfigReader& reader, std::vector<ListenAddress>& listen) {
  std::vector<std::string> texts;
  for (const ListenAddress& address : listen) texts.push_back(address.to_text());
  reader.text_list("listen", texts);
  if (texts.empty()) return reader.reject("listen", "is empty; write [\"0.0.0.0:443\"]");
  std::vector<ListenAddress> parsed;
  for (const std::string& text : texts) {
    auto address = parse_listen_address(text);
    if (!address) return reader.reject("listen", address.error().message());
    if (std::find(parsed.begin(), parsed.end(), *address) != parsed.end())
      return reader.reject("listen", "names " + text + " twice; remove one of them");
    parsed.push_back(std::move(*address));
  }
  listen = std::move(parsed);
}

/// `init` refuses a directory that holds the rest of a gateway, so it is not what to advise there.
Error no_configuration(const fs::path& file) {
  std::error_code failed;
  const fs::path dir = file.has_parent_path() ? file.parent_path() : fs::path{"."};
  const bool rest_is_there =
      (fs::exists(dir / "certs", failed) || fs::exists(dir / "store.sqlite", failed)) &&
      !holds_unfinished_init(dir);
  return Error{Errc::ConfigInvalid,
               "there is no configuration at " + file.string() +
                   (rest_is_there ? ", and the rest of a gateway lies beside it; put it back from a backup"
                                  : "; make one with 'culvert-gateway init'") +
                   ", or name it with --config PATH"};
}

}  // namespace

std::string https_url(const std::string& host, std::uint16_t port) {
  const bool ipv6 = host.find(':') != std::string::npos;
  return "https://" + (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string GatewayConfig::gateway_url() const {
  return public_url.empty() ? https_url(hostname, listen.front().port) : public_url;
}

Result<GatewayConfig> GatewayConfig::read(const fs::path& named) {
  if (named.empty())
    return Error{Errc::ConfigInvalid,
                 "the path of the configuration is empty; name the file with --config PATH"};
  const fs::path file = behind_links(named);
  auto reader = ConfigReader::open(file);
  if (!reader) {
    if (reader.error().code() != Errc::NotFound) return std::move(reader).error();
    return no_configuration(file);
  }
  GatewayConfig config;
  config.file = file;
  config.data_dir = file.has_parent_path() ? file.parent_path() : fs::path{"."};
  reader->path("data_dir", config.data_dir);
  if (config.data_dir.empty()) reader->reject("data_dir", "is empty; name the directory");
  reader->text("hostname", config.hostname);
  if (auto name = certs::alternative_name_entry(config.hostname); !name)
    reader->reject("hostname", config.hostname.empty()
                                   ? "is missing; write the name agents reach this gateway by"
                                   : name.error().message());
  read_listen(*reader, config.listen);
  reader->text("public_url", config.public_url);
  if (!config.public_url.empty()) {
    if (auto url = PublicUrl::parse(config.public_url); !url)
      reader->reject("public_url", url.error().message());
  }
  if (config.public_url.empty() && config.listen.front().port == 0)
    reader->reject("listen", "has port 0, which agents cannot be told; write a port, or set public_url");
  reader->choice("trust", config.trust, {"root", "system"});

  config.store = config.data_dir / "store.sqlite";
  config.authorities = config.data_dir / "certs";
  config.certificate = config.authorities / "server.pem";
  config.key = config.authorities / "server.key";
  reader->path("files.store", config.store);
  reader->path("files.authorities", config.authorities);
  reader->path("files.certificate", config.certificate);
  reader->path("files.key", config.key);
  read_limits(*reader, config.limits);
  read_log(*reader, config.log);
  if (auto finished = reader->finish(); !finished) return std::move(finished).error();
  return config;
}

GatewayLimits resolve_limits(GatewayLimits limits, ByteCount memory, std::size_t cores) {
  if (limits.session_memory == 0_B) limits.session_memory = automatic_session_memory(memory);
  if (limits.process_memory == 0_B)
    limits.process_memory = automatic_process_memory(memory, limits.session_memory);
  if (limits.threads == 0) limits.threads = std::max<std::size_t>(1, cores);
  return limits;
}

}  // namespace culvert
