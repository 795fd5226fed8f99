#include "cloud-gateway/config.hpp"

namespace culvert {

namespace {

/// As a TOML string. Host names and URLs need no more than this.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

constexpr const char* kHead =
    R"(# culvert-gateway, written by 'culvert-gateway init'.
# A key behind '#' has the value shown: remove the '#' to change it. Sizes are written "64 MiB", times "30 s".
# Relative paths are relative to this file. Changes take effect when culvert-gateway is restarted.

# The name agents reach this gateway by; its server certificate is issued for it.
hostname = )";

constexpr const char* kListen = R"(

# Where to listen for HTTPS, a list of ADDRESS:PORT. IPv6 as well: ["0.0.0.0:443", "[::]:443"].
listen = [)";

constexpr const char* kPublicUrl = R"(]

# What joining strings tell agents to connect to, where that is not https://HOSTNAME:PORT of the first address
# above: behind a balancer or a port forwarding. HOST must be in the server certificate.
)";

constexpr const char* kTail = R"(
# What joining strings tell agents to trust: "root", this gateway's own root certificate; or "system", the
# operating system's roots, when [files] certificate comes from a public authority.
#trust = "root"

# Where lock, admin socket and, unless [files] says otherwise, all other files are.
#data_dir = "."

[files]
# The SQLite store: orgs, sites, targets, audit log.
#store = "store.sqlite"
# The authorities: root.pem, sites-ca.pem, sites-ca.key. root.key and server-ca.key may be kept offline.
#authorities = "certs"
# The server certificate with its chain, leaf first, and its key (mode 0600).
#certificate = "certs/server.pem"
#key = "certs/server.key"

[limits]
# Memory for the bytes of one session. 0: an eighth of RAM, but 64 MiB to 512 MiB.
#session_memory = 0
# Memory for the bytes of all sessions together, never exceeded. 0: a quarter of RAM.
#process_memory = 0
# Open streams of one session, 1 to 1000000.
#streams_per_session = 20000
# TLS connections of one session, 1 to 32.
#lanes_per_session = 32
# Targets being connected to at once, of one session and of all; 1 to 1000000. More are refused.
#dials_per_session = 20000
#dials = 65536
# TCP connections that have not sent a byte yet, at once, 16 to 1000000. One more, and the oldest is closed.
#guest_connections = 4096
# How long connecting to a target may take, all of its addresses together, "1 s" to "10 min".
#dial_timeout = "20 s"
# How long an agent may be away before its streams are reset, "1 s" to "24 h".
#resume_deadline = "10 min"
# How long running streams may go on after SIGTERM, "0 s" to "1 h". Keep it below systemd's TimeoutStopSec.
#drain_timeout = "30 s"
# Threads that move bytes. 0: one per core.
#threads = 0

[log]
# trace, debug, info, warning or error.
#level = "info"
# "text", or "json": one object a line.
#format = "text"
# A file that is rotated. Empty: stderr, which systemd's journal keeps.
#file = ""
# Rotate at this size in MiB, 1 to 1024, and keep so many rotated files, 1 to 100.
#max_size_mib = 16
#max_files = 8
)";

}  // namespace

std::string config_template(const std::string& hostname, const std::vector<ListenAddress>& listen,
                            const std::string& public_url) {
  std::string text = kHead + quoted(hostname) + kListen;
  for (std::size_t i = 0; i < listen.size(); ++i) text += (i == 0 ? "" : ", ") + quoted(listen[i].to_text());
  text += kPublicUrl;
  text += public_url.empty() ? "#public_url = \"\"" : "public_url = " + quoted(public_url);
  text += '\n';
  return text + kTail;
}

}  // namespace culvert
