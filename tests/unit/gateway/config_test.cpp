#include "cloud-gateway/config.hpp"

#include "tunnel-core/daemon/common_config.hpp"

#include <catch2/catch.hpp>
#include <fstream>
#include <regex>

#include "tests/unit/gateway/store_fixture.hpp"

namespace culvert {

namespace {

struct ConfigFixture {
  TempDir dir;
  Result<GatewayConfig> read(const std::string& text) const {
    std::ofstream{dir / "gateway.toml"} << text;
    return GatewayConfig::read(dir / "gateway.toml");
  }
};

}  // namespace

TEST_CASE("Config: the text that init writes reads as the defaults", "[config]") {
  ConfigFixture fixture;
  const auto config = must(fixture.read(config_template("gw.example.net", {{"0.0.0.0", 443}}, "")));
  CHECK(config.hostname == "gw.example.net");
  CHECK(config.gateway_url() == "https://gw.example.net:443");
  CHECK(config.data_dir == fixture.dir.path());
  CHECK(config.store == fixture.dir / "store.sqlite");
  CHECK(config.certificate == fixture.dir / "certs/server.pem");
  CHECK(config.limits.resume_deadline == 10min);
}

TEST_CASE("Config: every key the text explains is known and shows its true default", "[config]") {
  ConfigFixture fixture;
  const std::string text = config_template("gw.example.net", {{"0.0.0.0", 443}}, "");
  const std::string uncommented = std::regex_replace(text, std::regex{"(^|\n)#([a-z_]+ = )"}, "$1$2");
  REQUIRE(uncommented != text);
  const auto all = must(fixture.read(uncommented));
  const auto defaults = must(fixture.read(text));
  CHECK(all.data_dir.lexically_relative(defaults.data_dir) == ".");
  CHECK(all.store == defaults.store);
  CHECK(all.authorities == defaults.authorities);
  CHECK(all.certificate == defaults.certificate);
  CHECK(all.key == defaults.key);
  CHECK(all.trust == defaults.trust);
  CHECK(all.public_url == defaults.public_url);
  CHECK(all.limits.session_memory == defaults.limits.session_memory);
  CHECK(all.limits.process_memory == defaults.limits.process_memory);
  CHECK(all.limits.streams_per_session == defaults.limits.streams_per_session);
  CHECK(all.limits.lanes_per_session == defaults.limits.lanes_per_session);
  CHECK(all.limits.dials_per_session == defaults.limits.dials_per_session);
  CHECK(all.limits.dials == defaults.limits.dials);
  CHECK(all.limits.guest_connections == defaults.limits.guest_connections);
  CHECK(all.limits.dial_timeout == defaults.limits.dial_timeout);
  CHECK(all.limits.resume_deadline == defaults.limits.resume_deadline);
  CHECK(all.limits.drain_timeout == defaults.limits.drain_timeout);
  CHECK(all.limits.threads == defaults.limits.threads);
  CHECK(all.log.level == defaults.log.level);
  CHECK(all.log.format == defaults.log.format);
  CHECK(all.log.file == defaults.log.file);
  CHECK(all.log.max_size_mib == defaults.log.max_size_mib);
  CHECK(all.log.max_files == defaults.log.max_files);
}

TEST_CASE("Config: values, lists and paths are read", "[config]") {
  ConfigFixture fixture;
  const auto config =
      must(fixture.read("hostname = 'gw'\n"
                        "listen = ['127.0.0.1:8443', '[::1]:8443']\n"
                        "data_dir = 'data'\n"
                        "trust = 'system'\n"
                        "[files]\nkey = '/secret/key'\n"
                        "[limits]\nsession_memory = '64 MiB'\nresume_deadline = '45 s'\n"
                        "[log]\nformat = 'json'\n"));
  REQUIRE(config.listen.size() == 2);
  CHECK(config.listen[1] == ListenAddress{"::1", 8443});
  CHECK(config.gateway_url() == "https://gw:8443");
  CHECK(config.data_dir == fixture.dir / "data");
  CHECK(config.store == fixture.dir / "data/store.sqlite");
  CHECK(config.key == "/secret/key");
  CHECK(config.limits.session_memory == 64_MiB);
  CHECK(config.limits.resume_deadline == 45s);
  CHECK(config.log.format == "json");
}

TEST_CASE("Config: a mistake is named with file, line and what to do", "[config]") {
  ConfigFixture fixture;
  const auto [text, where, what] = GENERATE(table<std::string, std::string, std::string>({
      {"hostname = 'gw'\n[limits]\nsesion_memory = '64 MiB'\n", "gateway.toml:3", "session_memory"},
      {"hostname = 'gw'\nlisten = ['0.0.0.0']\n", "gateway.toml:2", "ADDRESS:PORT"},
      {"hostname = 'gw'\nlisten = ['gw:443']\n", "gateway.toml:2", "ADDRESS:PORT"},
      {"hostname = 'gw'\nlisten = ['::1:443']\n", "gateway.toml:2", "ADDRESS:PORT"},
      {"hostname = 'gw'\nlisten = []\n", "gateway.toml:2", "empty"},
      {"hostname = 'gw'\nlisten = ['0.0.0.0:443', '0.0.0.0:443']\n", "gateway.toml:2", "twice"},
      {"hostname = 'gw'\nlisten = ['0.0.0.0:0']\n", "gateway.toml:2", "port 0"},
      {"hostname = 'not a name'\n", "gateway.toml:1", "not a name"},
      {"listen = ['0.0.0.0:443']\n", "gateway.toml", "hostname"},
      {"\nhostnam = 'gw'\n", "gateway.toml:2", "unknown key 'hostnam'; did you mean 'hostname'?"},
      {"hostname = 'gw'\npublic_url = 'http://gw'\n", "gateway.toml:2", "https://"},
      {"hostname = 'gw'\npublic_url = 'https://gw:99999'\n", "gateway.toml:2",
       "public_url has a port outside 1-65535: 'https://gw:99999'; write it as https://HOST"},
      {"hostname = 'gw'\npublic_url = 'https://gw/y'\n", "gateway.toml:2", "public_url has a path"},
      {"hostname = 'gw'\npublic_url = 'https://u:p@gw'\n", "gateway.toml:2", "public_url has a user name; "},
      {"hostname = 'gw'\ntrust = 'nobody'\n", "gateway.toml:2", "system"},
      {"hostname = 'gw'\n[limits]\nsession_memory = '1 MiB'\n", "gateway.toml:3", "8 MiB"},
      {"hostname = 'gw'\n[limits]\nsession_memory = '1 GiB'\nprocess_memory = '64 MiB'\n", "gateway.toml:4",
       "session_memory"},
      {"hostname = 'gw'\n[limits]\nresume_deadline = 600\n", "gateway.toml:3", "resume_deadline"},
      {"hostname = 'gw'\n[limits]\nthreads = 5000\n", "gateway.toml:3", "1024"},
      {"hostname = 'gw'\n[log]\nlevel = 'loud'\n", "gateway.toml:3", "warning"},
      {"hostname = \n", "gateway.toml:1", ""},
  }));
  INFO(text);
  const auto config = fixture.read(text);
  REQUIRE_FALSE(config);
  INFO(config.error().to_string());
  CHECK(config.error().code() == Errc::ConfigInvalid);
  CHECK_THAT(config.error().to_string(), Catch::Contains(where) && Catch::Contains(what));
}

TEST_CASE("Config: a missing file says where to get one", "[config]") {
  TempDir dir;
  const auto config = GatewayConfig::read(dir / "gateway.toml");
  CHECK(config.error().code() == Errc::ConfigInvalid);
  CHECK_THAT(config.error().message(),
             Catch::EndsWith("; make one with 'culvert-gateway init', or name it with --config PATH"));
}

TEST_CASE("Config: a missing file beside the rest of a gateway is to be put back, for init refuses there",
          "[config]") {
  TempDir dir;
  std::filesystem::create_directory(dir / "certs");
  const auto lost = GatewayConfig::read(dir / "gateway.toml");
  CHECK_THAT(lost.error().message(),
             Catch::Contains("put it back from a backup") && !Catch::Contains("init'"));

  std::ofstream{dir / "gateway.toml.unfinished"}.flush();
  const auto unfinished = GatewayConfig::read(dir / "gateway.toml");
  CHECK_THAT(unfinished.error().message(), Catch::Contains("make one with 'culvert-gateway init'"));
}

TEST_CASE("Config: an empty path is said to be empty", "[config]") {
  const auto config = GatewayConfig::read("");
  CHECK(config.error().code() == Errc::ConfigInvalid);
  CHECK_THAT(config.error().message(), Catch::Contains("the path of the configuration is empty"));
}

TEST_CASE("Config: automatic limits follow the machine, and set ones stay", "[config]") {
  GatewayLimits limits;
  CHECK(resolve_limits(limits, 1_GiB, 2).session_memory == 128_MiB);
  CHECK(resolve_limits(limits, 1_GiB, 2).process_memory == 256_MiB);
  CHECK(resolve_limits(limits, 256_MiB, 2).session_memory == 64_MiB);
  CHECK(resolve_limits(limits, 128_MiB, 2).process_memory == 64_MiB);
  CHECK(resolve_limits(limits, 64_GiB, 2).session_memory == 512_MiB);
  CHECK(resolve_limits(limits, 64_GiB, 2).process_memory == 16_GiB);
  CHECK(resolve_limits(limits, 1_GiB, 0).threads == 1);
  limits.session_memory = 32_MiB;
  limits.threads = 3;
  CHECK(resolve_limits(limits, 64_GiB, 2).session_memory == 32_MiB);
  CHECK(resolve_limits(limits, 64_GiB, 2).threads == 3);
  CHECK(usable_memory() > 64_MiB);
}

TEST_CASE("Config: an IPv6 hostname stands in brackets in the URL", "[config]") {
  ConfigFixture fixture;
  const auto config = must(fixture.read("hostname = '2001:db8::7'\nlisten = ['[::]:443']\n"));
  CHECK(config.gateway_url() == "https://[2001:db8::7]:443");
}

}  // namespace culvert
