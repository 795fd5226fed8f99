#include <catch2/catch.hpp>

#include "certs/certificate.hpp"
#include "certs/private_key.hpp"
#include "tests/unit/certs/test_world.hpp"

using namespace culvert;
using namespace culvert::certs;
using namespace culvert::certs::test;
using Catch::Contains;

TEST_CASE("A private key survives its PEM", "[certs][key]") {
  const PrivateKey key = unwrap(PrivateKey::generate());
  const PrivateKey again = unwrap(PrivateKey::from_pem(key.to_pem().view()));
  CHECK(again.public_key() == key.public_key());
  CHECK_FALSE(again.public_key() == unwrap(PrivateKey::generate()).public_key());
  CHECK(key.to_pem().view().starts_with("-----BEGIN PRIVATE KEY-----"));
}

TEST_CASE("openssl reads our key and we read openssl's", "[certs][key]") {
  const TemporaryDirectory dir;
  const PrivateKey key = unwrap(PrivateKey::generate());
  const auto file = dir.file("k.key", key.to_pem().view());
  const CommandResult text = openssl("pkey -noout -text -in " + file.string());
  CHECK(text.exit_code == 0);
  CHECK_THAT(text.output, Contains("NIST CURVE: P-256"));
  const CommandResult theirs = openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
  CHECK(PrivateKey::from_pem(theirs.output));
}

TEST_CASE("A private key cut anywhere is refused", "[certs][key]") {
  const PrivateKey key = unwrap(PrivateKey::generate());
  const SecretText pem = key.to_pem();
  const std::size_t end = pem.view().find_last_of('-');
  for (std::size_t size = 0; size < end; ++size) {
    CAPTURE(size);
    REQUIRE(error_of(PrivateKey::from_pem(pem.view().substr(0, size))).code() == Errc::KeyInvalid);
  }
}

TEST_CASE("A key that is not plain P-256 is refused with what to do", "[certs][key]") {
  for (const char* arguments :
       {"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384", "genpkey -algorithm ED25519",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit"}) {
    CAPTURE(arguments);
    const CommandResult pem = openssl(arguments);
    REQUIRE(pem.exit_code == 0);
    const Error error = error_of(PrivateKey::from_pem(pem.output));
    CHECK(error.code() == Errc::KeyInvalid);
    CHECK_THAT(error.message(), Contains("P-256") && Contains("openssl genpkey"));
  }
}

TEST_CASE("A key with a passphrase is refused without a prompt", "[certs][key]") {
  const CommandResult pem =
      openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:secret");
  REQUIRE(pem.exit_code == 0);
  CHECK_THAT(error_of(PrivateKey::from_pem(pem.output)).message(), Contains("passphrase"));
}

TEST_CASE("A moved or destroyed secret text leaves nothing behind where it was", "[certs][key]") {
  SecretText first{"short"};
  SecretText second{std::move(first)};
  CHECK(second.view() == "short");
  CHECK(first.view().empty());  // NOLINT(bugprone-use-after-move): that is what is promised.
  SecretText third{"another"};
  third = std::move(second);
  CHECK(third.view() == "short");
  CHECK(second.view().empty());  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("A certificate tells who, from when, until when and for what", "[certs][certificate]") {
  const World world;
  const Certificate leaf = world.server_chain({"gw.example.net", "192.0.2.7", "2001:db8::7"}).front();
  CHECK(leaf.subject() == "CN=gw.example.net");
  CHECK(leaf.issuer() == "CN=Test root: server");
  CHECK(leaf.not_before() == kNow - kBackdating);
  CHECK(leaf.not_after() == kNow + kServerLifetime);
  CHECK(leaf.names().dns == std::vector<std::string>{"gw.example.net"});
  CHECK(leaf.names().ip == std::vector<std::string>{"192.0.2.7", "2001:db8::7"});
  CHECK(leaf.allows_server());
  CHECK_FALSE(leaf.allows_client());
  CHECK_FALSE(leaf.is_ca());
  CHECK(world.root.certificate().is_ca());
  CHECK(world.root.certificate().is_self_signed());
  CHECK_FALSE(leaf.is_self_signed());
  CHECK(leaf.matches(world.key));
  CHECK_FALSE(leaf.matches(unwrap(PrivateKey::generate())));
  CHECK(unwrap(leaf.public_key()) == world.key.public_key());
}

TEST_CASE("Serial and thumbprint are written as openssl writes them", "[certs][certificate]") {
  const World world;
  const TemporaryDirectory dir;
  const Certificate leaf = world.site_chain().front();
  const std::string file = dir.file("c.pem", leaf.to_pem()).string();
  std::string serial = leaf.serial();
  CHECK(serial.size() == 32);
  for (char& c : serial) c = static_cast<char>(std::toupper(c));
  CHECK(openssl("x509 -noout -serial -in " + file).output == "serial=" + serial + "\n");
  CHECK_THAT(openssl("x509 -noout -fingerprint -sha256 -in " + file).output,
             Contains(thumbprint_text(leaf.thumbprint())));
}

TEST_CASE("A thumbprint is read with and without colons, in either case, and nothing else is",
          "[certs][digest]") {
  const Sha256 digest = sha256(as_bytes("culvert"));
  std::string text = thumbprint_text(digest);
  CHECK(text.size() == 95);
  CHECK(unwrap(parse_thumbprint(text)) == digest);
  std::string plain = text;
  std::erase(plain, ':');
  for (char& c : plain) c = static_cast<char>(std::tolower(c));
  CHECK(unwrap(parse_thumbprint(plain)) == digest);
  for (const std::string& wrong : {std::string{}, text.substr(1), text + "A", plain.substr(2), plain + "00",
                                   "zz" + plain.substr(2), text.substr(0, 94) + ":", std::string(95, ':')}) {
    CAPTURE(wrong);
    CHECK(error_of(parse_thumbprint(wrong)).code() == Errc::UsageInvalid);
  }
}

TEST_CASE("A chain survives its PEM, in order", "[certs][certificate]") {
  const World world;
  const auto chain = world.server_chain();
  const auto again = unwrap(chain_from_pem(chain_to_pem(chain)));
  CHECK(again == chain);
}

TEST_CASE("A chain cut at any byte is refused, never taken for a shorter one", "[certs][certificate]") {
  const World world;
  const auto chain = world.server_chain();
  const std::string pem = chain_to_pem(chain);
  std::vector<std::size_t> whole;  // Cuts that leave whole certificates: with and without the last newline.
  for (std::size_t end = 0, i = 0; i < chain.size(); ++i) {
    end += chain[i].to_pem().size();
    whole.push_back(end);
    whole.push_back(end - 1);
  }
  for (std::size_t size = 0; size < pem.size(); ++size) {
    if (std::find(whole.begin(), whole.end(), size) != whole.end()) continue;
    CAPTURE(size, pem.substr(size > 30 ? size - 30 : 0, 30));
    REQUIRE(error_of(chain_from_pem(std::string_view{pem}.substr(0, size))).code() ==
            Errc::CertificateInvalid);
  }
}

TEST_CASE("A chain file with a key, garbage or far too many bytes in it is refused", "[certs][certificate]") {
  const World world;
  const std::string pem = world.root.certificate().to_pem();
  for (const std::string& text :
       {std::string{}, std::string{"hello"}, std::string(3, '\0'),
        pem + std::string{world.key.to_pem().view()}, std::string{world.key.to_pem().view()},
        pem + std::string(kMaxChainPemSize, '\n')}) {
    CHECK(error_of(chain_from_pem(text)).code() == Errc::CertificateInvalid);
  }
  CHECK(unwrap(chain_from_pem("subject: a comment above\n" + pem)).size() == 1);
}
