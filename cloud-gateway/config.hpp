// gateway.toml. The file that `init` writes explains every key; config_template.cpp holds its text.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cloud-gateway/listen_address.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/units.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {

/// The `[limits]` table. Memory is in allocated bytes; 0 means automatic until resolve_limits() has run.
struct GatewayLimits {
  ByteCount session_memory;  ///< Per session. Automatic: an eighth of RAM, 64 to 512 MiB.
  ByteCount process_memory;  ///< All sessions together. Automatic: a quarter of RAM.
  std::uint64_t streams_per_session = 20'000;
  std::uint64_t lanes_per_session = 32;      ///< 1 to 32, told to the agent.
  std::uint64_t dials_per_session = 20'000;  ///< Targets being connected to at once.
  std::uint64_t dials = 65'536;              ///< The same for the whole process.
  std::uint64_t guest_connections = 4'096;   ///< TCP connections that have not sent a byte yet, at once.
  Duration dial_timeout = 20s;               ///< For all addresses of one target together.
  Duration resume_deadline = 10min;          ///< How long a session without a lane keeps its streams.
  Duration drain_timeout = 30s;              ///< What running streams get after SIGTERM.
  std::uint64_t threads = 0;                 ///< Data threads; 0: one per core.
};

struct GatewayConfig {
  std::filesystem::path file;      ///< Where it was read from.
  std::filesystem::path data_dir;  ///< Lock, admin socket and, by default, all other files.
  std::string hostname;
  std::vector<ListenAddress> listen = {{"0.0.0.0", 443}};
  std::string public_url;             ///< Empty: made of hostname and the first listen address.
  std::string trust = "root";         ///< What joining strings pin: `root`, or `system`.
  std::filesystem::path store;        ///< DATA_DIR/store.sqlite.
  std::filesystem::path authorities;  ///< DATA_DIR/certs: root.*, sites-ca.*, server-ca.*.
  std::filesystem::path certificate;  ///< DATA_DIR/certs/server.pem, leaf first.
  std::filesystem::path key;          ///< DATA_DIR/certs/server.key.
  GatewayLimits limits;
  LogConfig log;

  /// What goes into joining strings: public_url, or https://HOSTNAME:PORT.
  std::string gateway_url() const;

  /// @error ConfigInvalid with file, line and what to do; FileUnreadable.
  static Result<GatewayConfig> read(const std::filesystem::path& file);
};

/// `https://HOST:PORT`, an IPv6 address in brackets.
std::string https_url(const std::string& host, std::uint16_t port);

/// Replaces every 0 that means automatic.
/// @param memory  what this machine or container has.
GatewayLimits resolve_limits(GatewayLimits limits, ByteCount memory, std::size_t cores);

/// The text of a new gateway.toml: what was decided, and every other key as a comment with its default.
std::string config_template(const std::string& hostname, const std::vector<ListenAddress>& listen,
                            const std::string& public_url);

}  // namespace culvert
