#include "certs/site_proof.hpp"

#include <catch2/catch.hpp>

#include "certs/verification.hpp"
#include "tests/unit/certs/test_world.hpp"

using namespace culvert;
using namespace culvert::certs;

namespace {

Bytes exporter(char filling) {
  return Bytes(32, static_cast<std::byte>(filling));
}

}  // namespace

// docs/protocol.md §3.5
TEST_CASE("SiteProof: opens on its own connection, and gives the chain back", "[certs]") {
  const test::World world;
  auto chain = world.site_chain();
  chain.pop_back();  // The root is not sent.
  const std::string proof = make_site_proof(world.key, chain, exporter('a'));
  CHECK(proof.size() < 1600);
  const auto opened = open_site_proof(proof, exporter('a'));
  if (!opened) FAIL(opened.error().to_string());
  CHECK(*opened == chain);
  const auto identity = verify_site(*opened, PinnedRoots{{world.root.certificate()}}, test::kNow);
  REQUIRE(identity);
  CHECK(*identity == test::kTokyo);
}

TEST_CASE("SiteProof: is worth nothing on another connection", "[certs]") {
  const test::World world;
  const std::string proof = make_site_proof(world.key, world.site_chain(), exporter('a'));
  const auto opened = open_site_proof(proof, exporter('b'));
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code() == Errc::Unauthorized);
  CHECK(opened.error().message().find("ends TLS") != std::string::npos);
}

TEST_CASE("SiteProof: a certificate without its key proves nothing", "[certs]") {
  const test::World world;
  const auto other = test::unwrap(PrivateKey::generate());
  CHECK_FALSE(open_site_proof(make_site_proof(other, world.site_chain(), exporter('a')), exporter('a')));
}

TEST_CASE("SiteProof: anything else is refused", "[certs]") {
  const test::World world;
  const std::string proof = make_site_proof(world.key, world.site_chain(), exporter('a'));
  for (const std::string& text :
       {std::string{}, std::string{"."}, std::string{"AAAA"}, std::string{"AAAA.AAAA"}, proof + ".",
        "." + proof, proof + ".AAAA", proof + "*", std::string(7000, 'A'), proof.substr(0, proof.find('.')),
        proof.substr(0, proof.size() - 4)}) {
    CAPTURE(text.size());
    CHECK_FALSE(open_site_proof(text, exporter('a')));
  }
}
