#include "tunnel-agent/config.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <regex>

#include "certs/authority.hpp"
#include "tests/unit/cloud_api/support/test_gateway.hpp"
#include "tests/unit/gateway/temp_dir.hpp"

using namespace culvert;

namespace {

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream{file} << text;
}

const std::string kMinimal = "gateway_url = \"https://gw.example.net\"\ntrust.system_roots = true\n";

}  // namespace

TEST_CASE("AgentConfig: what join writes can be read, with every default in force", "[agent]") {
  const TempDir dir;
  write(dir / "agent.toml", new_config_text("https://gw.example.net:8443", /*pinned_roots=*/false));
  const auto config = load_config(dir / "agent.toml");
  if (!config) FAIL(config.error().to_string());
  CHECK(config->gateway_url == "https://gw.example.net:8443");
  CHECK(config->data_dir == dir.path());
  CHECK(config->key_file == dir / "site.key");
  CHECK(config->port_pool == PortPool{10000, 10010});
  CHECK(config->session_memory >= 64_MiB);
  CHECK(config->session_memory <= 512_MiB);
  CHECK(config->process_memory >= config->session_memory);
  CHECK(config->open_timeout == 30s);
  CHECK(config->drain_timeout == 30s);
  CHECK(std::holds_alternative<certs::SystemRoots>(config->trust));
}

TEST_CASE("AgentConfig: every key that is shown commented out is a key that is known", "[agent]") {
  const TempDir dir;
  std::string text = new_config_text("https://gw", false);
  // All but the two alternatives of trust, of which only one may be given.
  text = std::regex_replace(
      text,
      std::regex{"\n# ((?:data_dir|certificate|key|port_pool|session_memory|process_memory|"
                 "open_timeout|drain_timeout|level|format|file|max_size_mib|max_files) = )"},
      "\n$1");
  CHECK(text.find("\n# level") == std::string::npos);
  write(dir / "agent.toml", text);
  const auto config = load_config(dir / "agent.toml");
  if (!config) FAIL(config.error().to_string());
  CHECK(config->log.file == dir / "agent.log");
}

TEST_CASE("AgentConfig: the roots that join stored are pinned", "[agent]") {
  const TempDir dir;
  const auto pki = test::TestPki::make();
  write(dir / "trust.pem", pki.root.certificate().to_pem());
  write(dir / "agent.toml", new_config_text("https://gw", /*pinned_roots=*/true));
  const auto config = load_config(dir / "agent.toml");
  if (!config) FAIL(config.error().to_string());
  REQUIRE(std::holds_alternative<certs::PinnedRoots>(config->trust));
  CHECK(std::get<certs::PinnedRoots>(config->trust).roots.at(0) == pki.root.certificate());
}

TEST_CASE("AgentConfig: a mistake is shown with file, line and what to do", "[agent]") {
  const auto [text, part] = GENERATE(table<std::string, std::string>({
      {"gateway_url = \"http://gw\"\ntrust.system_roots = true\n",
       "agent.toml:1: gateway_url cannot be used"},
      {"trust.system_roots = true\n", "gateway_url"},
      {"trust.system_roots = true\ngateway_ulr = \"https://gw\"\n",
       "agent.toml:2: unknown key 'gateway_ulr'; did you mean 'gateway_url'?"},
      {"gateway_url = \"https://gw\"\ntrust.roots = \"nosuch.pem\"\n",
       "agent.toml:2: trust.roots cannot be used: "},
      {"gateway_url = \"https://gw\"\n[trust]\nrots = \"trust.pem\"\n",
       "agent.toml:3: unknown key 'rots' in [trust]; did you mean 'roots'?"},
      {"gateway_url = \"https://gw\"\n", "exactly one of roots, root_fingerprint, thumbprint"},
      {kMinimal + "trust.thumbprint = \"AA\"\n", "exactly one"},
      {"gateway_url = \"https://gw\"\ntrust.thumbprint = \"AA\"\n", "agent.toml:2: trust.thumbprint"},
      {kMinimal + "[forwards]\nport_pool = \"10010-10000\"\n", "agent.toml:4: forwards.port_pool"},
      {kMinimal + "[limits]\nsesion_memory = 1\n", "did you mean 'session_memory'"},
      {kMinimal + "[limits]\nsession_memory = \"1 MiB\"\n", "agent.toml:4"},
      {kMinimal + "[limits]\nsession_memory = \"64 MiB\"\nprocess_memory = \"32 MiB\"\n", "raise it"},
      {kMinimal + "[log]\nlevel = \"loud\"\n", "agent.toml:4"},
      {kMinimal + "[depot]\nbind = [\"::1\", \"::1\"]\n", "agent.toml:4: depot.bind names ::1 twice"},
  }));
  const TempDir dir;
  write(dir / "agent.toml", text);
  const auto config = load_config(dir / "agent.toml");
  REQUIRE_FALSE(config);
  CAPTURE(config.error().to_string());
  CHECK(config.error().code() == Errc::ConfigInvalid);
  CHECK(config.error().message().find(part) != std::string::npos);
}

TEST_CASE("AgentConfig: without a file it says how to get one", "[agent]") {
  const TempDir dir;
  const auto config = load_config(dir / "agent.toml");
  REQUIRE_FALSE(config);
  CHECK(config.error().message().find("culvert-agent join") != std::string::npos);
}

TEST_CASE("AgentConfig: a key that others can read is refused with the command that mends it", "[agent]") {
  const TempDir dir;
  write(dir / "agent.toml", kMinimal);
  write(dir / "site.pem", "certificate");
  write(dir / "site.key", "key");
  const auto config = load_config(dir / "agent.toml");
  REQUIRE(config);
  REQUIRE(::chmod((dir / "site.key").c_str(), 0644) == 0);
  const auto exposed = load_identity(*config);
  REQUIRE_FALSE(exposed);
  CHECK(exposed.error().code() == Errc::FileUnsafe);
  CHECK(exposed.error().message().find("chmod 600") != std::string::npos);
  REQUIRE(::chmod((dir / "site.key").c_str(), 0600) == 0);
  CHECK(load_identity(*config)->key_pem == "key");
}

TEST_CASE("AgentConfig: polite keeps to one lane", "[agent]") {
  const TempDir dir;
  write(dir / "agent.toml", kMinimal);
  CHECK_FALSE(load_config(dir / "agent.toml")->polite);
  write(dir / "agent.toml", kMinimal + "[lanes]\npolite = true\n");
  CHECK(load_config(dir / "agent.toml")->polite);
}

TEST_CASE("OwnCertificate: expired, not yet valid and of another key are told apart, with what to do",
          "[agent]") {
  const certs::UtcTime now = certs::utc_now();
  const auto root = certs::Authority::create_root("Test root", now);
  REQUIRE(root);
  const auto sites = certs::Authority::create_issuing(*root, certs::Purpose::Sites, now);
  REQUIRE(sites);
  const auto key = certs::PrivateKey::generate();
  const auto other = certs::PrivateKey::generate();
  REQUIRE(key);
  REQUIRE(other);
  const auto leaf = sites->issue_site({"acme", "tokyo"}, key->public_key(), now);
  REQUIRE(leaf);
  const auto identity = [&](const certs::PrivateKey& held) {
    return cloud_api::ClientIdentity{leaf->to_pem(), std::string{held.to_pem().view()}};
  };
  const auto own = OwnCertificate::read(identity(*key), "site.pem");
  REQUIRE(own);
  CHECK(own->check(now));
  const auto expired = own->check(now + certs::days(400));
  REQUIRE_FALSE(expired);
  CHECK(expired.error().code() == Errc::TlsExpired);
  CHECK_THAT(expired.error().message(), Catch::Contains("site.pem expired at") &&
                                            Catch::Contains("join again") &&
                                            Catch::Contains("'Joining again' in operations.md"));
  const auto early = own->check(now - certs::days(400));
  REQUIRE_FALSE(early);
  CHECK(early.error().code() == Errc::TlsNotYetValid);
  CHECK_THAT(early.error().message(), Catch::Contains("set the clock"));
  CHECK(OwnCertificate::read(identity(*other), "site.pem").error().code() == Errc::KeyInvalid);
  CHECK(OwnCertificate::read({"nothing", std::string{key->to_pem().view()}}, "site.pem").error().code() ==
        Errc::CertificateInvalid);
}
