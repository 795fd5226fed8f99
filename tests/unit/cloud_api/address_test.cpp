#include <catch2/catch.hpp>
#include <map>

#include "cloud-api-client/include/cloud_api/gateway_url.hpp"
#include "cloud-api-client/include/cloud_api/proxy.hpp"

using namespace culvert;
using namespace culvert::cloud_api;

namespace {

Environment environment(std::map<std::string, std::string> values) {
  return [values](const char* name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

std::optional<std::string> proxy(const std::string& gateway, std::map<std::string, std::string> values) {
  const auto url = GatewayUrl::parse(gateway);
  REQUIRE(url);
  const auto found = proxy_for(*url, environment(std::move(values)));
  REQUIRE(found);
  if (!*found) return std::nullopt;
  return (*found)->authority();
}

}  // namespace

TEST_CASE("GatewayUrl: host and port are read, with 443 as the default", "[cloud_api]") {
  const auto [text, host, port] =
      GENERATE(table<std::string, std::string, int>({{"https://GW.example.net", "gw.example.net", 443},
                                                     {"https://gw.example.net/", "gw.example.net", 443},
                                                     {"https://192.0.2.1:8443", "192.0.2.1", 8443},
                                                     {"https://[2001:DB8::7]:1", "2001:db8::7", 1},
                                                     {"https://[::1]", "::1", 443}}));
  const auto url = GatewayUrl::parse(text);
  REQUIRE(url);
  CHECK(url->host == host);
  CHECK(url->port == port);
  CHECK(*GatewayUrl::parse(url->to_text()) == *url);
}

TEST_CASE("GatewayUrl: anything else is refused with the form it should have", "[cloud_api]") {
  const std::string text =
      GENERATE("", "gw", "http://gw", "https://", "https://gw:0", "https://gw:65536",
               "https://gw:", "https://gw:44x", "https://gw/path", "https://u@gw", "https://[::1",
               "https://[gw]", "https://[::1]x", "https://g w", "https://gw\n");
  const auto url = GatewayUrl::parse(text);
  REQUIRE_FALSE(url);
  CHECK(url.error().code() == Errc::ConfigInvalid);
  CHECK(url.error().message().find("https://HOST") != std::string::npos);
}

TEST_CASE("Proxy: the environment's proxy is used, with 8080 where it names no port", "[cloud_api]") {
  CHECK(proxy("https://gw.example.net", {}) == std::nullopt);
  CHECK(proxy("https://gw.example.net", {{"https_proxy", "http://p.lan:3128/"}}) == "p.lan:3128");
  CHECK(proxy("https://gw.example.net", {{"HTTPS_PROXY", "p.lan"}}) == "p.lan:8080");
  CHECK(proxy("https://gw.example.net", {{"https_proxy", "http://[fd00::1]"}}) == "[fd00::1]:8080");
}

TEST_CASE("Proxy: loopback gateways and those of no_proxy are reached directly", "[cloud_api]") {
  const std::string url = GENERATE("https://localhost", "https://127.0.0.9:1", "https://[::1]:8443");
  CHECK(proxy(url, {{"https_proxy", "http://p.lan:3128"}}) == std::nullopt);
  const auto listed = [](const std::string& list) {
    return proxy("https://gw.example.net", {{"https_proxy", "http://p.lan:3128"}, {"no_proxy", list}}) ==
           std::nullopt;
  };
  CHECK(listed("*"));
  CHECK(listed("other, .example.net"));
  CHECK(listed("gw.example.net"));
  CHECK(listed("GW.Example.NET"));
  CHECK_FALSE(listed("ample.net"));
  CHECK_FALSE(listed("other,"));
}

TEST_CASE("Proxy: a login of the environment is read, %XX and all", "[cloud_api]") {
  const auto gateway = GatewayUrl::parse("https://gw.example.net");
  const auto found =
      proxy_for(*gateway, environment({{"https_proxy", "http://LAB%5Ctokyo:p%40ss:%2fword@p.lan:3128"}}));
  REQUIRE(found);
  REQUIRE(*found);
  CHECK((*found)->authority() == "p.lan:3128");
  CHECK((*found)->user == "LAB\\tokyo");
  CHECK((*found)->password == "p@ss:/word");
  CHECK((*found)->auto_allows_basic);
}

TEST_CASE("Proxy: one that is not HTTP, or cannot be read, is refused without repeating its password",
          "[cloud_api]") {
  const auto gateway = GatewayUrl::parse("https://gw.example.net");
  const std::string value =
      GENERATE("https://user:geheim@p.lan:1", "socks5://p.lan", "http://p.lan:x",
               "http://user:geheim%4@p.lan", "http://:geheim@p.lan", "http://user:geheim%0a@p.lan");
  const auto found = proxy_for(*gateway, environment({{"https_proxy", value}}));
  REQUIRE_FALSE(found);
  CHECK(found.error().code() == Errc::ConfigInvalid);
  CHECK(found.error().to_string().find("geheim") == std::string::npos);
  CHECK(found.error().to_string().find("https_proxy") != std::string::npos);
}

TEST_CASE("Proxy: methods of login have names that lead back to them", "[cloud_api]") {
  const auto auth = GENERATE(ProxyAuth::Auto, ProxyAuth::None, ProxyAuth::Basic, ProxyAuth::Digest,
                             ProxyAuth::Ntlm, ProxyAuth::Negotiate);
  CHECK(proxy_auth_from_name(proxy_auth_name(auth)) == auth);
  CHECK_FALSE(proxy_auth_from_name("plain"));
}
