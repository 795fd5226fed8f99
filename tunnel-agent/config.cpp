#include "tunnel-agent/config.hpp"

#include <fmt/format.h>

#include "certs/key_store.hpp"
#include "certs/private_key.hpp"
#include "cloud-api-client/include/cloud_api/gateway_url.hpp"
#include "tunnel-core/daemon/common_config.hpp"
#include "tunnel-core/daemon/config_reader.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {

namespace fs = std::filesystem;

namespace {

std::string mend_file() {
  return std::string{"; put back what `culvert-agent join` made, or "} + kJoinAgain;
}

Error unusable(const std::string& what, const Error& error) {
  return {error.code(), "cannot use " + what + ": " + error.message() + mend_file()};
}

struct TrustKeys {
  fs::path roots;
  std::string root_fingerprint;
  std::string thumbprint;
  bool system_roots = false;
};

void read_thumbprint(ConfigReader& reader, const char* key, const std::string& text, certs::Sha256& out) {
  auto digest = certs::parse_thumbprint(text);
  if (digest) {
    out = *digest;
  } else {
    reader.reject(key, digest.error().message());
  }
}

Result<certs::Trust> read_trust(ConfigReader& reader) {
  TrustKeys keys;
  reader.path("trust.roots", keys.roots);
  reader.text("trust.root_fingerprint", keys.root_fingerprint);
  reader.text("trust.thumbprint", keys.thumbprint);
  reader.flag("trust.system_roots", keys.system_roots);
  const int given =
      !keys.roots.empty() + !keys.root_fingerprint.empty() + !keys.thumbprint.empty() + keys.system_roots;
  if (given != 1) {
    reader.reject("trust",
                  "needs exactly one of roots, root_fingerprint, thumbprint and system_roots = true");
  }
  if (!keys.root_fingerprint.empty()) {
    certs::RootFingerprint root;
    read_thumbprint(reader, "trust.root_fingerprint", keys.root_fingerprint, root.sha256);
    return certs::Trust{root};
  }
  if (!keys.thumbprint.empty()) {
    certs::LeafThumbprint leaf;
    read_thumbprint(reader, "trust.thumbprint", keys.thumbprint, leaf.sha256);
    return certs::Trust{leaf};
  }
  if (keys.roots.empty()) return certs::Trust{certs::SystemRoots{}};
  auto roots = certs::load_chain(keys.roots);
  if (!roots) {
    reader.reject("trust.roots", "cannot be used: " + roots.error().text() + mend_file());
    return std::move(roots).error();
  }
  return certs::Trust{certs::PinnedRoots{std::move(*roots)}};
}

void read_limits(ConfigReader& reader, AgentConfig& config) {
  const ByteCount memory = usable_memory();
  config.session_memory = automatic_session_memory(memory);
  reader.bytes("limits.session_memory", config.session_memory, 8_MiB, 64_GiB);
  config.process_memory = automatic_process_memory(memory, config.session_memory);
  reader.bytes("limits.process_memory", config.process_memory, 8_MiB, 1024_GiB);
  check_memory(reader, config.session_memory, config.process_memory);
  reader.duration("limits.open_timeout", config.open_timeout, 1s, 10min);
  reader.duration("limits.drain_timeout", config.drain_timeout, 0s, 10min);
}

void read_depot(ConfigReader& reader, DepotConfig& depot) {
  std::uint64_t port = depot.listen.port;
  reader.flag("depot.enabled", depot.enabled);
  reader.number("depot.port", port, 1, 65535);
  reader.text_list("depot.bind", depot.listen.bind);
  depot.listen.port = static_cast<std::uint16_t>(port);
  std::vector<IpAddress> bind;
  for (const std::string& address : depot.listen.bind) {
    auto parsed = IpAddress::parse(address);
    if (parsed) {
      bind.push_back(*parsed);
    } else {
      reader.reject("depot.bind", parsed.error().message());
    }
  }
  if (auto good = check_bind(bind); !good) reader.reject("depot.bind", good.error().message());
}

void read_transport(ConfigReader& reader, TransportConfig& transport) {
  std::string carrier = "auto";
  reader.choice("transport.carrier", carrier, {"auto", "culvert", "websocket"});
  if (carrier != "auto") transport.carrier = carrier == "websocket" ? Carrier::WebSocket : Carrier::Culvert;
  std::string identity = "auto";
  reader.choice("transport.identity", identity, {"auto", "certificate", "proof"});
  if (identity == "auto") return;
  transport.identity =
      identity == "proof" ? cloud_api::IdentityBy::Proof : cloud_api::IdentityBy::Certificate;
}

}  // namespace

Result<AgentConfig> load_config(const fs::path& named) {
  if (named.empty())
    return Error{Errc::ConfigInvalid,
                 "the path of the configuration is empty; name the file with --config PATH"};
  // /etc/culvert/agent.toml may be a link: relative paths begin where the file itself lies.
  const fs::path file = behind_links(named);
  auto reader = ConfigReader::open(file);
  if (!reader) {
    if (reader.error().code() != Errc::NotFound) return std::move(reader).error();
    return Error{Errc::ConfigInvalid,
                 fmt::format("there is no {}; run `culvert-agent join` first, or name the file with --config",
                             file.string())};
  }
  AgentConfig config;
  config.file = file;
  config.data_dir = file.has_parent_path() ? file.parent_path() : fs::path{"."};
  reader->path("data_dir", config.data_dir);
  reader->text("gateway_url", config.gateway_url);
  if (config.gateway_url.empty()) {
    reader->reject("gateway_url", "is missing; write the gateway's address, like \"https://gw.example.net\"");
  } else if (auto url = cloud_api::GatewayUrl::parse(config.gateway_url); !url) {
    reader->reject("gateway_url", "cannot be used: " + url.error().message());
  }
  config.certificate_file = config.data_dir / "site.pem";
  config.key_file = config.data_dir / "site.key";
  reader->path("identity.certificate", config.certificate_file);
  reader->path("identity.key", config.key_file);
  auto trust = read_trust(*reader);
  std::string pool = config.port_pool.to_text();
  reader->text("forwards.port_pool", pool);
  if (auto parsed = PortPool::parse(pool)) {
    config.port_pool = *parsed;
  } else {
    reader->reject("forwards.port_pool", parsed.error().message());
  }
  reader->flag("lanes.polite", config.polite);
  read_proxy(*reader, config.proxy);
  read_transport(*reader, config.transport);
  read_limits(*reader, config);
  read_depot(*reader, config.depot);
  read_log(*reader, config.log);
  if (auto finished = reader->finish(); !finished) return std::move(finished).error();
  if (!trust) return std::move(trust).error();
  config.trust = std::move(*trust);
  return config;
}

Result<cloud_api::ClientIdentity> load_identity(const AgentConfig& config) {
  const auto advised = [](Error error) {
    if (error.code() != Errc::NotFound) return error;
    return Error{error.code(), error.message() + "; put it back, or " + kJoinAgain};
  };
  auto key = read_secret_file(config.key_file);
  if (!key) return advised(std::move(key).error());
  auto chain = read_file(config.certificate_file);
  if (!chain) return advised(std::move(chain).error());
  return cloud_api::ClientIdentity{std::move(*chain), std::move(*key)};
}

Result<OwnCertificate> OwnCertificate::read(const cloud_api::ClientIdentity& identity, const fs::path& file) {
  auto chain = certs::chain_from_pem(identity.certificate_pem);
  if (!chain) return unusable(file.string(), chain.error());
  auto key = certs::PrivateKey::from_pem(std::string_view{identity.key_pem});
  if (!key) return unusable("the key of " + file.string(), key.error());
  if (!chain->front().matches(*key)) {
    return Error{Errc::KeyInvalid,
                 fmt::format("{} was issued for another key than the one beside it; put the two that belong "
                             "together there, or {}",
                             file.string(), kJoinAgain)};
  }
  return OwnCertificate{chain->front(), file};
}

Result<void> OwnCertificate::check(certs::UtcTime now) const {
  if (now > certificate_.not_after()) {
    return Error{
        Errc::TlsExpired,
        fmt::format("the site's own certificate {} expired at {}, and this host's clock says {}; set the "
                    "clock if it is wrong, otherwise {}",
                    file_.string(), certs::utc_text(certificate_.not_after()), certs::utc_text(now),
                    kJoinAgain)};
  }
  if (now < certificate_.not_before()) {
    return Error{
        Errc::TlsNotYetValid,
        fmt::format("the site's own certificate {} is valid from {}, and this host's clock says {}; set "
                    "the clock",
                    file_.string(), certs::utc_text(certificate_.not_before()), certs::utc_text(now))};
  }
  return {};
}

Result<certs::KeyAndChain> parse_identity(const cloud_api::ClientIdentity& identity) {
  auto key = certs::PrivateKey::from_pem(identity.key_pem);
  if (!key) return std::move(key).error();
  auto chain = certs::chain_from_pem(identity.certificate_pem);
  if (!chain) return std::move(chain).error();
  return certs::KeyAndChain{std::move(*key), std::move(*chain)};
}

std::string new_config_text(const std::string& gateway_url, bool pinned_roots) {
  const std::string trust = pinned_roots ? "roots = \"trust.pem\"\n# system_roots = true"
                                         : "# roots = \"trust.pem\"\nsystem_roots = true";
  return fmt::format(
      R"(# Configuration of culvert-agent. Keys that are commented out show their defaults. A change takes effect when the
# agent starts again. Sizes are written like "64 MiB", times like "30 s". Relative paths begin where this file is.

# The gateway: https://HOST or https://HOST:PORT.
gateway_url = "{}"

# Where the agent keeps its lock, its admin socket and its forwards. Default: the directory of this file.
# data_dir = "."

[identity]
# The site's certificate with its issuers, and its key (mode 0600): made by `culvert-agent join`.
# certificate = "site.pem"
# key = "site.key"

[trust]
# Which gateway is believed; exactly one of the four.
#   roots             a file of root certificates
#   system_roots      true: the roots of the operating system
#   root_fingerprint  SHA-256 of the root certificate, "AA:BB:..."
#   thumbprint        SHA-256 of the gateway's own certificate, "AA:BB:..."
{}
# root_fingerprint = ""
# thumbprint = ""

[proxy]
# The HTTP proxy that leads to the gateway: http://HOST:PORT, or "direct" for none. Default: https_proxy and no_proxy
# of the environment, which are never used for a gateway on loopback.
# url = "http://proxy.example.net:3128"
# How to log in there: none, basic (sends the password in the clear), digest, ntlm (NTLMv2), negotiate (Kerberos), or
# auto: the strongest that the proxy offers, never basic for the user named here.
# auth = "auto"
# The user, for ntlm with its domain ('DOMAIN\user'), and a file with nothing but the password (mode 0600).
# user = ""
# password_file = "proxy.password"
# For negotiate: the keytab (mode 0600) to log in with. Default: the ticket cache of the agent's process.
# keytab = "proxy.keytab"

[transport]
# How the gateway is spoken to where something in between does not let everything pass; auto finds out by itself.
# carrier: culvert, or websocket where the upgrade to culvert/1 is refused.
# carrier = "auto"
# identity: by certificate in TLS, or by proof (a signature) where only http/1.1 may be offered.
# identity = "auto"

[forwards]
# The ports `culvert-agent forward add` chooses from when --port does not name one.
# port_pool = "10000-10010"

[depot]
# Firewall rules for ESXi hosts over plain HTTP (`culvert-agent firewall` shows how to install them). Nothing but these
# few files can be asked for. A port that is taken does no harm to forwards; it is tried again every 30 s.
# enabled = true
# port = 80
# Addresses to listen on. Default: all, IPv4 and IPv6.
# bind = ["192.0.2.7"]

[lanes]
# true: one lane (TLS connection) to the gateway, even where more would be faster.
# polite = false

[limits]
# Memory for data on its way, at least 8 MiB. Default: an eighth of the machine's memory, between 64 and 512 MiB.
# session_memory = "256 MiB"
# Ceiling for all such memory of the process. Default: a quarter of the machine's memory, at least session_memory.
# process_memory = "1 GiB"
# How long an accepted connection waits for its target before it is reset: 1 s to 10 min.
# open_timeout = "30 s"
# How long running streams may finish when the agent is stopped: 0 s to 10 min, below systemd's TimeoutStopSec.
# drain_timeout = "30 s"

[log]
# trace, debug, info, warning or error.
# level = "info"
# text, or json for one object a line.
# format = "text"
# Default: standard error, which systemd's journal keeps. A file is rotated at max_size_mib (1 to 1024), and
# max_files (1 to 100) of them are kept.
# file = "agent.log"
# max_size_mib = 16
# max_files = 8
)",
      gateway_url, trust);
}

}  // namespace culvert
