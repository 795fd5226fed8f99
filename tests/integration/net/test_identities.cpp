#include "tests/integration/net/test_identities.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <vector>

#include "certs/authority.hpp"
#include "certs/verification.hpp"

namespace culvert::test {
namespace {

using certs::Authority;
using certs::Certificate;

template <class T>
T need(Result<T> result) {
  if (!result) FAIL(result.error().to_string());
  return std::move(result).value();
}

Identity identity(const Authority& issuer, const Certificate& leaf, const certs::PrivateKey& key) {
  return {certs::chain_to_pem(issuer.chain_below(leaf)), std::string{key.to_pem().view()}};
}

Identities make_identities() {
  const auto now = certs::utc_now();
  const auto long_ago = now - certs::days(200);
  const Authority root = need(Authority::create_root("Root of the net tests", long_ago));
  const Authority servers = need(Authority::create_issuing(root, certs::Purpose::Server, long_ago));
  const Authority sites = need(Authority::create_issuing(root, certs::Purpose::Sites, long_ago));
  const auto server_key = need(certs::PrivateKey::generate());
  const auto site_key = need(certs::PrivateKey::generate());
  const std::array<std::string, 1> names = {"localhost"};
  const certs::SiteIdentity tokyo{"acme", "tokyo"};
  const Certificate server = need(servers.issue_server(names, server_key.public_key(), now));
  const Certificate site = need(sites.issue_site(tokyo, site_key.public_key(), now));
  const Certificate expired = need(sites.issue_site(tokyo, site_key.public_key(), long_ago));
  return {identity(servers, server, server_key), identity(sites, site, site_key),
          identity(sites, expired, site_key), root.certificate().to_pem()};
}

std::vector<Certificate> shared(STACK_OF(X509) * chain) {
  std::vector<Certificate> certificates;
  for (int i = 0; i < sk_X509_num(chain); ++i)
    certificates.push_back(Certificate::share(sk_X509_value(chain, i)));
  return certificates;
}

certs::Trust trust() {
  return certs::PinnedRoots{{need(Certificate::from_pem(identities().root_pem))}};
}

}  // namespace

const Identities& identities() {
  static const Identities made = make_identities();
  return made;
}

PeerVerifier verifies_server() {
  return [trusted = trust()](X509*, STACK_OF(X509) * chain) {
    return certs::verify_server(shared(chain), trusted, "localhost", certs::utc_now());
  };
}

PeerVerifier verifies_site() {
  return [trusted = trust()](X509*, STACK_OF(X509) * chain) -> Result<void> {
    auto site = certs::verify_site(shared(chain), trusted, certs::utc_now());
    if (!site) return std::move(site).error();
    return {};
  };
}

TlsContext server_context() {
  return need(
      TlsContext::server({identities().server.chain_pem, identities().server.key_pem, verifies_site()}));
}

TlsContext lane_context(const Identity& identity) {
  return need(TlsContext::client(
      {identity.chain_pem, identity.key_pem, std::string{kTunnelAlpn}, verifies_server()}));
}

TlsContext browser_context() {
  return need(TlsContext::client({{}, {}, std::string{kHttpAlpn}, verifies_server()}));
}

}  // namespace culvert::test
