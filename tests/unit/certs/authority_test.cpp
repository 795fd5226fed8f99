#include <catch2/catch.hpp>

#include <set>

#include "certs/authority.hpp"
#include "certs/enrolment_request.hpp"
#include "tests/unit/certs/test_world.hpp"

using namespace culvert;
using namespace culvert::certs;
using namespace culvert::certs::test;
using Catch::Contains;

namespace {

const std::string kAtTime = " -attime " + std::to_string(kNow.time_since_epoch().count()) + " ";

// What openssl says of `chain` (leaf, issuing, root) when only the root is trusted.
CommandResult openssl_verify(const std::vector<Certificate>& chain, const std::string& options) {
  const TemporaryDirectory dir;
  const auto leaf = dir.file("leaf.pem", chain[0].to_pem());
  const auto issuing = dir.file("issuing.pem", chain[1].to_pem());
  const auto root = dir.file("root.pem", chain[2].to_pem());
  return openssl("verify -x509_strict -CAfile " + root.string() + " -untrusted " + issuing.string() +
                 kAtTime + options + " " + leaf.string());
}

}  // namespace

TEST_CASE("openssl verifies what the authorities issue, strictly, for its purpose and no other",
          "[certs][authority]") {
  const World world;
  const auto server = world.server_chain({"gw.example.net", "192.0.2.7"});
  const auto site = world.site_chain();
  CHECK(openssl_verify(server, "-purpose sslserver -verify_hostname gw.example.net").exit_code == 0);
  CHECK(openssl_verify(server, "-purpose sslserver -verify_ip 192.0.2.7").exit_code == 0);
  CHECK(openssl_verify(server, "-purpose sslserver -verify_hostname other.example.net").exit_code != 0);
  CHECK(openssl_verify(server, "-purpose sslclient").exit_code != 0);
  CHECK(openssl_verify(site, "-purpose sslclient").exit_code == 0);
  CHECK(openssl_verify(site, "-purpose sslserver").exit_code != 0);
}

TEST_CASE("openssl sees the extensions that the design asks for", "[certs][authority]") {
  const World world;
  const TemporaryDirectory dir;
  const auto text = [&](const Certificate& certificate) {
    return openssl("x509 -noout -text -in " + dir.file("c.pem", certificate.to_pem()).string()).output;
  };
  CHECK_THAT(text(world.root.certificate()),
             Contains("CA:TRUE, pathlen:1") && Contains("Subject Key Identifier") &&
                 Contains("Certificate Sign, CRL Sign") && Contains("Version: 3"));
  CHECK_THAT(text(world.sites.certificate()), Contains("CA:TRUE, pathlen:0") &&
                                                  Contains("TLS Web Client Authentication") &&
                                                  !Contains("TLS Web Server Authentication"));
  CHECK_THAT(text(world.server.certificate()),
             Contains("TLS Web Server Authentication") && !Contains("TLS Web Client Authentication"));
  CHECK_THAT(text(world.site_chain().front()), Contains("Subject: O = acme, CN = tokyo") &&
                                                   Contains("URI:culvert://org/acme/site/tokyo") &&
                                                   Contains("CA:FALSE") && Contains("Digital Signature") &&
                                                   Contains("Authority Key Identifier"));
}

TEST_CASE("Serials are 128 bits, positive and never the same", "[certs][authority]") {
  const World world;
  std::set<std::string> serials;
  for (int i = 0; i < 50; ++i) {
    const std::string serial = world.site_chain().front().serial();
    CHECK(serial.size() == 32);
    CHECK(serial.front() >= '4');
    CHECK(serial.front() <= '7');
    serials.insert(serial);
  }
  CHECK(serials.size() == 50);
}

TEST_CASE("Certificates begin five minutes early and never outlive their authority", "[certs][authority]") {
  const World world;
  const Certificate site = world.site_chain().front();
  CHECK(site.not_before() == kNow - kBackdating);
  CHECK(site.not_after() == kNow + kSiteLifetime);
  const UtcTime late = world.sites.certificate().not_after() - days(1);
  CHECK(world.site_chain(late).front().not_after() == world.sites.certificate().not_after());
  const UtcTime root_late = world.root.certificate().not_after() - days(1);
  const Authority issuing = unwrap(Authority::create_issuing(world.root, Purpose::Sites, root_late));
  CHECK(issuing.certificate().not_after() == world.root.certificate().not_after());
}

TEST_CASE("An authority that is not valid now issues nothing and says when it is", "[certs][authority]") {
  const World world;
  const auto issue = [&](UtcTime now) {
    return error_of(world.sites.issue_site(kTokyo, world.key.public_key(), now));
  };
  const Error expired = issue(world.sites.certificate().not_after());
  CHECK(expired.code() == Errc::CertificateInvalid);
  CHECK_THAT(expired.message(), Contains("expired on 2031-03-01"));
  const Error early = issue(kNow - days(1));
  CHECK(early.code() == Errc::CertificateInvalid);
  CHECK_THAT(early.message(), Contains("clock says 2026-02-28T08:30:00Z") && Contains("set the clock"));
}

TEST_CASE("Each authority issues its one kind of certificate only", "[certs][authority]") {
  const World world;
  const std::vector<std::string> names{"gw.example.net"};
  for (const Authority* authority : {&world.root, &world.sites}) {
    CHECK(error_of(authority->issue_server(names, world.key.public_key(), kNow)).code() ==
          Errc::UsageInvalid);
  }
  for (const Authority* authority : {&world.root, &world.server}) {
    CHECK(error_of(authority->issue_site(kTokyo, world.key.public_key(), kNow)).code() == Errc::UsageInvalid);
  }
  CHECK(error_of(Authority::create_issuing(world.sites, Purpose::Server, kNow)).code() == Errc::UsageInvalid);
  CHECK(error_of(Authority::create_issuing(world.root, Purpose::Root, kNow)).code() == Errc::UsageInvalid);
}

TEST_CASE("Names and lifetimes that make no sense are refused", "[certs][authority]") {
  const World world;
  for (const std::string& name :
       {std::string{}, std::string{"https://gw.example.net"}, std::string{"gw.example.net:443"},
        std::string{"gw..net"}, std::string{"-gw.net"}, std::string{"gw-.net"}, std::string{"gw.net."},
        std::string{"*.example.net"}, std::string{"a,DNS:evil.example"}, std::string{"gw_1.net"},
        std::string{"192.0.2.7\0", 10}, std::string(64, 'a') + ".net", std::string(254, 'a')}) {
    CAPTURE(name);
    const std::vector<std::string> names{name};
    CHECK(error_of(world.server.issue_server(names, world.key.public_key(), kNow)).code() ==
          Errc::UsageInvalid);
  }
  CHECK(error_of(world.server.issue_server({}, world.key.public_key(), kNow)).code() == Errc::UsageInvalid);
  const auto with_lifetime = [&](Lifetime lifetime) {
    return world.sites.issue_site(kTokyo, world.key.public_key(), kNow, lifetime);
  };
  CHECK(error_of(with_lifetime(Lifetime{0})).code() == Errc::UsageInvalid);
  CHECK(error_of(with_lifetime(days(-1))).code() == Errc::UsageInvalid);
  CHECK(error_of(with_lifetime(Lifetime::max())).code() == Errc::UsageInvalid);
  CHECK(error_of(world.sites.issue_site({"acme", "to kyo"}, world.key.public_key(), kNow)).code() ==
        Errc::UsageInvalid);
  CHECK(error_of(Authority::create_root("", kNow)).code() == Errc::UsageInvalid);
  CHECK(error_of(Authority::create_root("a\nb", kNow)).code() == Errc::UsageInvalid);
  CHECK(error_of(Authority::create_root(std::string(49, 'a'), kNow)).code() == Errc::UsageInvalid);
  CHECK(Authority::create_root("Größe ünd Höhe", kNow));
}

TEST_CASE("A host name of 253 bytes gets a certificate that fits", "[certs][authority]") {
  const World world;
  std::string name;
  for (int i = 0; i < 4; ++i) name += std::string(i == 3 ? 61 : 63, 'a') + (i == 3 ? "" : ".");
  REQUIRE(name.size() == 253);
  const Certificate leaf = world.server_chain({name}).front();
  CHECK(leaf.names().dns == std::vector<std::string>{name});
  CHECK(leaf.subject() == "CN=culvert-gateway");
}

TEST_CASE("An authority survives its files, and refuses another's key or a leaf's certificate",
          "[certs][authority]") {
  const World world;
  const std::string chain = chain_to_pem(world.sites.chain());
  const SecretText key = world.sites.key().to_pem();
  const Authority again = unwrap(Authority::load(chain, key.view()));
  CHECK(again.purpose() == Purpose::Sites);
  CHECK(again.root() == world.root.certificate());
  CHECK(again.issue_site(kTokyo, world.key.public_key(), kNow));
  CHECK(unwrap(Authority::load(world.root.certificate().to_pem(), world.root.key().to_pem().view()))
            .purpose() == Purpose::Root);

  CHECK(error_of(Authority::load(chain, world.root.key().to_pem().view())).code() == Errc::KeyInvalid);
  CHECK(error_of(Authority::load(chain_to_pem(world.site_chain()), world.key.to_pem().view())).code() ==
        Errc::CertificateInvalid);
  CHECK_THAT(error_of(Authority::load(world.sites.certificate().to_pem(), key.view())).message(),
             Contains("append the root"));
}

TEST_CASE("A request proves that its sender holds the key", "[certs][request]") {
  const World world;
  const EnrolmentRequest request = unwrap(EnrolmentRequest::make(world.key));
  const EnrolmentRequest again = unwrap(EnrolmentRequest::from_pem(request.pem()));
  CHECK(again.public_key() == world.key.public_key());
  CHECK(again.key_fingerprint() == world.key.public_key().fingerprint());
  const Certificate site = unwrap(world.sites.issue_site(kTokyo, again.public_key(), kNow));
  CHECK(site.matches(world.key));
  const TemporaryDirectory dir;
  const CommandResult verified =
      openssl("req -verify -noout -subject -in " + dir.file("r.csr", request.pem()).string());
  CHECK(verified.exit_code == 0);
  CHECK_THAT(verified.output, Contains("CN = agent"));
}

TEST_CASE("Requests that are damaged, too large, or of other keys are refused", "[certs][request]") {
  const World world;
  const std::string pem = unwrap(EnrolmentRequest::make(world.key)).pem();
  CHECK(error_of(EnrolmentRequest::from_pem("")).code() == Errc::CertificateInvalid);
  CHECK(error_of(EnrolmentRequest::from_pem(pem + std::string(8192, '\n'))).code() ==
        Errc::CertificateInvalid);
  for (std::size_t size = 0; size + 2 < pem.size(); ++size) {
    CAPTURE(size);
    REQUIRE_FALSE(EnrolmentRequest::from_pem(std::string_view{pem}.substr(0, size)));
  }
  // Any other letter in the body breaks the form, the key or the signature over both.
  const std::size_t begin = pem.find('\n') + 1;
  const std::size_t end = pem.find('=') == pem.npos ? pem.rfind("\n-----") : pem.find('=') - 1;
  for (std::size_t at = begin; at < end; ++at) {
    if (pem[at] == '\n') continue;
    std::string changed = pem;
    changed[at] = pem[at] == 'A' ? 'B' : 'A';
    CAPTURE(at);
    REQUIRE_FALSE(EnrolmentRequest::from_pem(changed));
  }
  const CommandResult rsa =
      openssl("req -new -newkey rsa:2048 -noenc -keyout /dev/null -subj /CN=agent -batch");
  REQUIRE(rsa.exit_code == 0);
  CHECK(error_of(EnrolmentRequest::from_pem(rsa.output)).code() == Errc::KeyInvalid);
}
