#include <catch2/catch.hpp>

#include <cstdlib>

#include "certs/joining_string.hpp"
#include "certs/verification.hpp"
#include "tests/unit/certs/test_world.hpp"

using namespace culvert;
using namespace culvert::certs;
using namespace culvert::certs::test;
using Catch::Contains;

namespace {

// The system's roots are what this file holds, for as long as it lives.
class SystemRootsAre {
 public:
  explicit SystemRootsAre(const std::vector<Certificate>& roots) {
    setenv("SSL_CERT_FILE", dir_.file("roots.pem", chain_to_pem(roots)).c_str(), 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
  }
  ~SystemRootsAre() {
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
  }
  SystemRootsAre(const SystemRootsAre&) = delete;
  SystemRootsAre& operator=(const SystemRootsAre&) = delete;

 private:
  TemporaryDirectory dir_;
};

Trust pinned(const Authority& authority) {
  return PinnedRoots{{authority.certificate()}};
}
Trust fingerprint(const Authority& authority) {
  return RootFingerprint{authority.certificate().thumbprint()};
}

constexpr const char* kHost = "gw.example.net";

}  // namespace

TEST_CASE("A server is trusted by its root, its root's fingerprint, its issuer or its thumbprint",
          "[certs][verification]") {
  const World world;
  const auto chain = world.server_chain();
  CHECK(verify_server(chain, pinned(world.root), kHost, kNow));
  CHECK(verify_server(chain, fingerprint(world.root), kHost, kNow));
  CHECK(verify_server(chain, pinned(world.server), kHost, kNow));
  CHECK(verify_server(chain, LeafThumbprint{chain.front().thumbprint()}, kHost, kNow));
  const SystemRootsAre system{{world.root.certificate()}};
  CHECK(verify_server(chain, SystemRoots{}, kHost, kNow));
}

TEST_CASE("The order of the chain behind the leaf does not matter, nor do strangers in it",
          "[certs][verification]") {
  const World world;
  const World other;
  auto chain = world.server_chain();
  std::swap(chain[1], chain[2]);
  chain.push_back(other.root.certificate());
  CHECK(verify_server(chain, fingerprint(world.root), kHost, kNow));
}

TEST_CASE("A site is trusted by root or issuer, and tells who it is", "[certs][verification]") {
  const World world;
  const auto chain = world.site_chain();
  CHECK(unwrap(verify_site(chain, pinned(world.root), kNow)) == kTokyo);
  CHECK(unwrap(verify_site(chain, pinned(world.sites), kNow)) == kTokyo);
  CHECK(unwrap(verify_site(chain, fingerprint(world.root), kNow)) == kTokyo);
  CHECK(unwrap(verify_site(chain, LeafThumbprint{chain[0].thumbprint()}, kNow)) == kTokyo);
}

TEST_CASE("A chain of another root is untrusted, even with the same names", "[certs][verification]") {
  const World world;
  const World other;
  const auto chain = other.server_chain();
  for (const Trust& trust : {pinned(world.root), fingerprint(world.root), pinned(world.server)}) {
    CHECK(error_of(verify_server(chain, trust, kHost, kNow)).code() == Errc::TlsUntrusted);
  }
  CHECK(error_of(verify_site(other.site_chain(), pinned(world.root), kNow)).code() == Errc::TlsUntrusted);
  CHECK_THAT(error_of(verify_server(chain, pinned(world.root), kHost, kNow)).message(),
             Contains("does not lead to a trusted root"));
}

TEST_CASE("Adding the pinned root to a foreign chain does not make it trusted", "[certs][verification]") {
  const World world;
  const World other;
  auto chain = other.server_chain();
  chain.push_back(world.root.certificate());
  CHECK(error_of(verify_server(chain, fingerprint(world.root), kHost, kNow)).code() == Errc::TlsUntrusted);
  chain.insert(chain.begin() + 1, world.server.certificate());
  CHECK(error_of(verify_server(chain, fingerprint(world.root), kHost, kNow)).code() == Errc::TlsUntrusted);
}

TEST_CASE("A chain without the pinned root says which fingerprint is missing", "[certs][verification]") {
  const World world;
  auto chain = world.server_chain();
  chain.pop_back();
  const Error error = error_of(verify_server(chain, fingerprint(world.root), kHost, kNow));
  CHECK(error.code() == Errc::TlsUntrusted);
  CHECK_THAT(error.message(), Contains(thumbprint_text(world.root.certificate().thumbprint())));
}

TEST_CASE("A leaf's thumbprint does not work as a root's fingerprint", "[certs][verification]") {
  const World world;
  const auto chain = world.server_chain();
  const Trust trust = RootFingerprint{chain.front().thumbprint()};
  CHECK(error_of(verify_server(chain, trust, kHost, kNow)).code() == Errc::TlsUntrusted);
}

TEST_CASE("No certificate at all is untrusted", "[certs][verification]") {
  const World world;
  CHECK(error_of(verify_server({}, pinned(world.root), kHost, kNow)).code() == Errc::TlsUntrusted);
  CHECK(error_of(verify_site({}, LeafThumbprint{}, kNow)).code() == Errc::TlsUntrusted);
}

TEST_CASE("A chain without its issuing authority is untrusted", "[certs][verification]") {
  const World world;
  const std::vector<Certificate> leaf{world.server_chain().front()};
  CHECK(error_of(verify_server(leaf, pinned(world.root), kHost, kNow)).code() == Errc::TlsUntrusted);
}

TEST_CASE("An expired certificate is named with its end and this host's time", "[certs][verification]") {
  const World world;
  const auto server = world.server_chain();
  const auto site = world.site_chain();
  const UtcTime late = kNow + days(400);
  for (const Trust& trust :
       {pinned(world.root), fingerprint(world.root), Trust{LeafThumbprint{server[0].thumbprint()}}}) {
    const Error error = error_of(verify_server(server, trust, kHost, late));
    CHECK(error.code() == Errc::TlsExpired);
    CHECK_THAT(error.message(), Contains("CN=gw.example.net") && Contains(utc_text(server[0].not_after())) &&
                                    Contains("clock says " + utc_text(late)));
  }
  CHECK(error_of(verify_site(site, pinned(world.root), late)).code() == Errc::TlsExpired);
  CHECK(verify_site(site, pinned(world.root), site[0].not_after() - std::chrono::seconds{1}));
  CHECK(
      error_of(verify_site(site, pinned(world.root), site[0].not_after() + std::chrono::seconds{1})).code() ==
      Errc::TlsExpired);
}

TEST_CASE("A certificate from the future blames the clock and prints both times", "[certs][verification]") {
  const World world;
  const auto chain = world.server_chain();
  const UtcTime early = kNow - days(1);
  for (const Trust& trust :
       {pinned(world.root), fingerprint(world.root), Trust{LeafThumbprint{chain[0].thumbprint()}}}) {
    const Error error = error_of(verify_server(chain, trust, kHost, early));
    CHECK(error.code() == Errc::TlsNotYetValid);
    CHECK_THAT(error.message(), Contains(utc_text(kNow - kBackdating)) &&
                                    Contains("clock says " + utc_text(early)) && Contains("set the clock"));
  }
  CHECK(error_of(verify_site(world.site_chain(), pinned(world.root), early)).code() == Errc::TlsNotYetValid);
}

TEST_CASE("A clock up to five minutes behind the authority's is no obstacle", "[certs][verification]") {
  const World world;
  CHECK(verify_server(world.server_chain(), pinned(world.root), kHost, kNow - std::chrono::minutes{4}));
}

TEST_CASE("An expired issuing authority is the one that is named", "[certs][verification]") {
  const World world;
  const Authority brief = unwrap(Authority::create_issuing(world.root, Purpose::Server, kNow, days(10)));
  const std::vector<std::string> names{kHost};
  const auto chain = brief.chain_below(unwrap(brief.issue_server(names, world.key.public_key(), kNow)));
  const Error error = error_of(verify_server(chain, pinned(world.root), kHost, kNow + days(11)));
  CHECK(error.code() == Errc::TlsExpired);
  CHECK_THAT(error.message(), Contains("Test root: server"));
}

TEST_CASE("A wrong name lists the names that the certificate has", "[certs][verification]") {
  const World world;
  const auto chain = world.server_chain({"gw.example.net", "192.0.2.7"});
  for (const char* host :
       {"other.example.net", "example.net", "a.gw.example.net", "192.0.2.8", "", "2001:db8::7"}) {
    CAPTURE(host);
    const Error error = error_of(verify_server(chain, fingerprint(world.root), host, kNow));
    CHECK(error.code() == Errc::TlsWrongName);
    CHECK_THAT(error.message(), Contains("gw.example.net, 192.0.2.7"));
  }
  CHECK(verify_server(chain, fingerprint(world.root), "192.0.2.7", kNow));
  CHECK(verify_server(chain, fingerprint(world.root), "GW.Example.NET", kNow));
}

TEST_CASE("A site's certificate is no server's, and the reverse", "[certs][verification]") {
  const World world;
  const Error as_server = error_of(verify_server(world.site_chain(), pinned(world.root), kHost, kNow));
  CHECK(as_server.code() == Errc::TlsUntrusted);
  CHECK_THAT(as_server.message(), Contains("is not for a server"));
  const Error as_site = error_of(verify_site(world.server_chain(), pinned(world.root), kNow));
  CHECK(as_site.code() == Errc::TlsUntrusted);
  CHECK_THAT(as_site.message(), Contains("is not for a site"));
  CHECK(error_of(verify_site(world.server_chain(), pinned(world.server), kNow)).code() == Errc::TlsUntrusted);
}

TEST_CASE("An authority's own certificate is neither a site's nor a server's", "[certs][verification]") {
  const World world;
  CHECK_FALSE(verify_site(world.sites.chain(), pinned(world.root), kNow));
  CHECK_FALSE(verify_server(world.server.chain(), pinned(world.root), kHost, kNow));
}

TEST_CASE("A certificate issued by a site's certificate is untrusted", "[certs][verification]") {
  const World world;
  const TemporaryDirectory dir;
  const auto site = world.site_chain();
  const std::string key = dir.file("site.key", world.key.to_pem().view()).string();
  const std::string certificate = dir.file("site.pem", site[0].to_pem()).string();
  const std::string extensions =
      dir.file("e.cnf", "extendedKeyUsage=clientAuth\nsubjectAltName=URI:culvert://org/other/site/x\n")
          .string();
  const std::string request = dir.file("r.csr", unwrap(EnrolmentRequest::make(world.key)).pem()).string();
  const CommandResult forged = openssl("x509 -req -in " + request + " -CA " + certificate + " -CAkey " + key +
                                       " -set_serial 7 -days 30 -extfile " + extensions + "");
  REQUIRE(forged.exit_code == 0);
  std::vector<Certificate> chain = site;
  chain.insert(chain.begin(), unwrap(Certificate::from_pem(forged.output)));
  const UtcTime made = chain.front().not_before();
  CHECK(error_of(verify_site(chain, pinned(world.root), made)).code() == Errc::TlsUntrusted);
}

TEST_CASE("A client certificate that names no site gets no identity", "[certs][verification]") {
  const World world;
  const TemporaryDirectory dir;
  const std::string key = dir.file("ca.key", world.sites.key().to_pem().view()).string();
  const std::string authority = dir.file("ca.pem", world.sites.certificate().to_pem()).string();
  const std::string request = dir.file("r.csr", unwrap(EnrolmentRequest::make(world.key)).pem()).string();
  const auto with_names = [&](const std::string& names) {
    const std::string file =
        dir.file("e.cnf", "extendedKeyUsage=clientAuth\nsubjectAltName=" + names + "\n").string();
    const CommandResult made = openssl("x509 -req -in " + request + " -CA " + authority + " -CAkey " + key +
                                       " -set_serial 7 -days 30 -extfile " + file + "");
    REQUIRE(made.exit_code == 0);
    const Certificate leaf = unwrap(Certificate::from_pem(made.output));
    return verify_site(world.sites.chain_below(leaf), pinned(world.root), leaf.not_before());
  };
  CHECK(with_names("URI:culvert://org/acme/site/osaka"));
  for (const char* names : {"DNS:tokyo", "URI:culvert://org/acme",
                            "URI:culvert://org/acme/site/tokyo,URI:culvert://org/other/site/x"}) {
    CAPTURE(names);
    CHECK(error_of(with_names(names)).code() == Errc::TlsWrongName);
  }
}

TEST_CASE("A changed byte in a certificate's body is noticed", "[certs][verification]") {
  const World world;
  auto chain = world.server_chain();
  std::string pem = chain[0].to_pem();
  const std::size_t at = pem.size() / 2;
  pem[at] = pem[at] == 'A' ? 'B' : 'A';
  const auto changed = Certificate::from_pem(pem);
  if (changed) {
    chain[0] = *changed;
    CHECK_FALSE(verify_server(chain, pinned(world.root), kHost, kNow));
  }
}

TEST_CASE("A key too weak for today is refused, even a pinned one", "[certs][verification]") {
  const TemporaryDirectory dir;
  const CommandResult weak = openssl(
      "req -x509 -newkey rsa:1024 -noenc -keyout /dev/null -subj /CN=gw.example.net -days 30 "
      "-addext subjectAltName=DNS:gw.example.net");
  REQUIRE(weak.exit_code == 0);
  const std::vector<Certificate> chain{unwrap(Certificate::from_pem(weak.output))};
  const Error error = error_of(verify_server(chain, PinnedRoots{chain}, kHost, chain[0].not_before()));
  CHECK(error.code() == Errc::TlsUntrusted);
  CHECK_THAT(error.message(), Contains("too weak"));
}

TEST_CASE("A thumbprint that does not match says so with both, and whether the chain is trusted",
          "[certs][verification]") {
  const World world;
  const auto chain = world.server_chain();
  const Sha256 expected = sha256(as_bytes("another certificate"));
  {
    const SystemRootsAre system{{World{}.root.certificate()}};
    const Error error = error_of(verify_server(chain, LeafThumbprint{expected}, kHost, kNow));
    CHECK(error.code() == Errc::TlsThumbprintMismatch);
    CHECK_THAT(error.message(),
               Contains("Server certificate chain is not trusted and thumbprint doesn't match") &&
                   Contains("expected " + thumbprint_text(expected)) &&
                   Contains("presented " + thumbprint_text(chain[0].thumbprint())));
  }
  const SystemRootsAre system{{world.root.certificate()}};
  const Error error = error_of(verify_server(chain, LeafThumbprint{expected}, kHost, kNow));
  CHECK(error.code() == Errc::TlsThumbprintMismatch);
  CHECK_THAT(error.message(), !Contains("chain is not trusted") && Contains("thumbprint doesn't match"));
}

TEST_CASE("A matching thumbprint stands in for chain and name", "[certs][verification]") {
  const World world;
  const std::vector<Certificate> leaf{world.server_chain().front()};
  CHECK(verify_server(leaf, LeafThumbprint{leaf[0].thumbprint()}, "another.example.net", kNow));
}

TEST_CASE("The system's roots do not trust our own", "[certs][verification]") {
  const World world;
  CHECK(error_of(verify_server(world.server_chain(), SystemRoots{}, kHost, kNow)).code() ==
        Errc::TlsUntrusted);
}

TEST_CASE("A joining string's trust is what verification takes", "[certs][verification][joining]") {
  const World world;
  JoiningString joining;
  joining.trust = JoiningString::TrustKind::RootFingerprint;
  joining.root_fingerprint = world.root.certificate().thumbprint();
  CHECK(verify_server(world.server_chain(), joining.trust_anchor(), kHost, kNow));
  CHECK_FALSE(verify_server(World{}.server_chain(), joining.trust_anchor(), kHost, kNow));
  joining.trust = JoiningString::TrustKind::SystemRoots;
  const SystemRootsAre system{{world.root.certificate()}};
  CHECK(verify_server(world.server_chain(), joining.trust_anchor(), kHost, kNow));
}
