// agent.toml: what `culvert-agent join` writes and an administrator may change. Forwards have files of their
// own.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "certs/certificate.hpp"
#include "certs/key_store.hpp"
#include "certs/utc_time.hpp"
#include "certs/verification.hpp"
#include "cloud-api-client/include/cloud_api/client.hpp"
#include "firewall-vib/depot_server.hpp"
#include "tunnel-agent/port_pool.hpp"
#include "tunnel-agent/proxy_config.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/units.hpp"
#include "tunnel-core/net/lane_carrier.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {

constexpr const char* kDefaultAgentConfig = "/etc/culvert/agent.toml";

/// The way out where the site's identity is of no use any more, for the end of a message.
constexpr const char* kJoinAgain =
    "ask the provider for a new joining string and join again ('Joining again' in operations.md)";

/// `[depot]`: the firewall-rule VIB for ESXi hosts over plain HTTP.
struct DepotConfig {
  bool enabled = true;
  firewall::DepotListen listen;  ///< Port 80, all addresses.
};

/// What is fixed about the way to the gateway; nothing: what gets through.
struct TransportConfig {
  std::optional<Carrier> carrier;
  std::optional<cloud_api::IdentityBy> identity;
};

struct AgentConfig {
  std::filesystem::path file;      ///< agent.toml itself.
  std::filesystem::path data_dir;  ///< DIR: lock, admin.sock, forwards.d. Default: where `file` is.

  std::string gateway_url;  ///< https://HOST[:PORT].
  std::filesystem::path certificate_file;
  std::filesystem::path key_file;
  certs::Trust trust;  ///< Already read and checked.

  ProxyConfig proxy;
  TransportConfig transport;

  PortPool port_pool;
  ByteCount session_memory;  ///< Windows and replay of the session; 8 MiB to 64 GiB. Default: an eighth of
                             ///< RAM, 64 to 512 MiB.
  ByteCount process_memory;  ///< Ceiling of the whole process; at least session_memory. Default: a quarter of
                             ///< RAM, at least that.
  Duration open_timeout = 30s;   ///< How long a source waits for its target, 1 s to 10 min.
  Duration drain_timeout = 30s;  ///< How long running streams may finish at shutdown, 0 s to 10 min.
  bool polite = false;           ///< One lane, whatever would be faster.
  DepotConfig depot;
  LogConfig log;

  std::filesystem::path forwards_dir() const { return data_dir / "forwards.d"; }
  std::filesystem::path limits_dir() const { return data_dir / "limits.d"; }
};

/// @error ConfigInvalid (no such file; else file, line and what to do), FileUnreadable; as
/// certs::chain_from_pem for the roots.
Result<AgentConfig> load_config(const std::filesystem::path& file);

/// The site's certificate and key.
/// @error NotFound, FileUnreadable, FileUnsafe with the chmod that mends it, KeyInvalid, CertificateInvalid.
Result<cloud_api::ClientIdentity> load_identity(const AgentConfig& config);

/// The site's certificate as its own agent judges it, so that nobody has to guess from a refused handshake.
class OwnCertificate {
 public:
  /// @error CertificateInvalid; KeyInvalid when it belongs to another key.
  static Result<OwnCertificate> read(const cloud_api::ClientIdentity& identity,
                                     const std::filesystem::path& certificate_file);

  /// @error TlsExpired, TlsNotYetValid: both with the certificate's time, this host's time, and what to do.
  Result<void> check(certs::UtcTime now) const;

  certs::UtcTime not_after() const { return certificate_.not_after(); }

 private:
  OwnCertificate(certs::Certificate certificate, std::filesystem::path file)
      : certificate_(std::move(certificate)), file_(std::move(file)) {}
  certs::Certificate certificate_;
  std::filesystem::path file_;
};
/// The same, ready to sign with.
/// @error KeyInvalid, CertificateInvalid.
Result<certs::KeyAndChain> parse_identity(const cloud_api::ClientIdentity& identity);

/// The agent.toml of a site that has just joined, every key explained.
/// @param pinned_roots  true: roots from trust.pem beside it; false: the system's.
std::string new_config_text(const std::string& gateway_url, bool pinned_roots);

}  // namespace culvert
