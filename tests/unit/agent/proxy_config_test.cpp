#include "tunnel-agent/proxy_config.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/unit/gateway/temp_dir.hpp"
#include "tunnel-agent/config.hpp"

using namespace culvert;
using cloud_api::ProxyAuth;

namespace {

const std::string kMinimal = "gateway_url = \"https://gw.example.net\"\ntrust.system_roots = true\n";

std::filesystem::path write(const std::filesystem::path& file, const std::string& text, mode_t mode = 0600) {
  std::ofstream{file} << text;
  ::chmod(file.c_str(), mode);
  return file;
}

Result<AgentConfig> load(const TempDir& dir, const std::string& proxy) {
  return load_config(write(dir / "agent.toml", kMinimal + "[proxy]\n" + proxy));
}

std::optional<std::string> none(const char*) {
  return std::nullopt;
}

const cloud_api::GatewayUrl kGateway{"gw.example.net", 443};

}  // namespace

TEST_CASE("ProxyConfig: a proxy with a login is read, its password from a file of its own", "[agent]") {
  const TempDir dir;
  write(dir / "pw", "se same\r\n");
  const auto config = load(dir,
                           "url = \"http://p.lan:3128\"\nauth = \"ntlm\"\nuser = 'LAB\\tokyo'\n"
                           "password_file = \"pw\"\n");
  if (!config) FAIL(config.error().to_string());
  const auto proxy = open_proxy(config->proxy, kGateway, none);
  if (!proxy) FAIL(proxy.error().to_string());
  REQUIRE(*proxy);
  CHECK((*proxy)->settings().authority() == "p.lan:3128");
  CHECK((*proxy)->settings().auth == ProxyAuth::Ntlm);
  CHECK((*proxy)->settings().user == "LAB\\tokyo");
  CHECK((*proxy)->settings().password == "se same");
  CHECK_FALSE((*proxy)->settings().auto_allows_basic);
}

TEST_CASE("ProxyConfig: the environment's proxy counts when none is named, and never for loopback",
          "[agent]") {
  const cloud_api::Environment environment = [](const char* name) -> std::optional<std::string> {
    if (std::string_view{name} == "https_proxy") return "http://u:p@env.lan:1";
    return std::nullopt;
  };
  const TempDir dir;
  const auto absent = load(dir, "");
  REQUIRE(absent);
  const auto found = open_proxy(absent->proxy, kGateway, environment);
  REQUIRE(found);
  REQUIRE(*found);
  CHECK((*found)->settings().authority() == "env.lan:1");
  const cloud_api::GatewayUrl loopback{"localhost", 443};
  CHECK_FALSE(*open_proxy(absent->proxy, loopback, environment));

  const auto direct = load(dir, "url = \"direct\"\n");
  REQUIRE(direct);
  CHECK_FALSE(*open_proxy(direct->proxy, kGateway, environment));
  const auto named = load(dir, "url = \"http://p.lan\"\n");
  REQUIRE(named);
  const auto proxy = open_proxy(named->proxy, loopback, environment);
  REQUIRE(proxy);
  REQUIRE(*proxy);
  CHECK((*proxy)->settings().authority() == "p.lan:8080");
}

TEST_CASE("ProxyConfig: mistakes are named with their line", "[agent]") {
  const TempDir dir;
  const auto [text, piece] = GENERATE(table<std::string, std::string>(
      {{"url = \"socks5://p.lan\"", "http://HOST:PORT"},
       {"url = \"http://u:geheim@p.lan\"", "password_file"},
       {"url = \"http://p.lan\"\nauth = \"plain\"", "auth"},
       {"url = \"http://p.lan\"\nauth = \"digest\"", "needs user and password_file"},
       {"url = \"http://p.lan\"\nuser = \"u\"", "both user and password_file"},
       {"url = \"http://p.lan\"\npassword_file = \"f\"", "both user and password_file"},
       {"urls = \"http://p.lan\"", "did you mean"}}));
  const auto config = load(dir, text + "\n");
  REQUIRE_FALSE(config);
  CAPTURE(config.error().to_string());
  CHECK(config.error().code() == Errc::ConfigInvalid);
  CHECK(config.error().to_string().find(piece) != std::string::npos);
  CHECK(config.error().to_string().find("agent.toml:") != std::string::npos);
  CHECK(config.error().to_string().find("geheim") == std::string::npos);
}

TEST_CASE("ProxyConfig: secrets that others can read are refused", "[agent]") {
  const TempDir dir;
  write(dir / "pw", "sesame", 0640);
  write(dir / "kt", "keys", 0644);
  const std::string key = GENERATE("user = \"u\"\npassword_file = \"pw\"\n", "keytab = \"kt\"\n");
  const auto config = load(dir, "url = \"http://p.lan\"\n" + key);
  REQUIRE(config);
  const auto proxy = open_proxy(config->proxy, kGateway, none);
  REQUIRE_FALSE(proxy);
  CHECK(proxy.error().code() == Errc::FileUnsafe);
  CHECK(proxy.error().to_string().find("chmod") != std::string::npos);
}
