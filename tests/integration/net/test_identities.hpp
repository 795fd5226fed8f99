// Certificates for the tests of this folder, made when the program starts.
#pragma once

#include <string>

#include "tunnel-core/net/tls_context.hpp"

namespace culvert::test {

struct Identity {
  std::string chain_pem;
  std::string key_pem;
};

/// One root, a server for `localhost`, a site acme/tokyo, and the same site with a certificate that has
/// expired.
struct Identities {
  Identity server;
  Identity site;
  Identity expired_site;
  std::string root_pem;
};

const Identities& identities();

/// Trusts identities().root_pem.
PeerVerifier verifies_server();
PeerVerifier verifies_site();

/// Contexts as gateway and agent make them; every REQUIREs itself.
TlsContext server_context();
TlsContext lane_context(const Identity& identity);
TlsContext browser_context();

}  // namespace culvert::test
