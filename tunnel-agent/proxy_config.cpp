#include "tunnel-agent/proxy_config.hpp"

#include <cstdlib>

#include "tunnel-core/daemon/files.hpp"

namespace culvert {

using cloud_api::ProxyAuth;
using cloud_api::ProxyConnector;
using cloud_api::ProxySettings;

namespace {

void read_url(ConfigReader& reader, ProxyConfig& config) {
  std::string url;
  reader.text("proxy.url", url);
  if (url.empty()) return;
  if (url == "direct") {
    config.direct = true;
    return;
  }
  auto settings = ProxySettings::parse(url);
  if (!settings) return reader.reject("proxy.url", settings.error().message());
  if (!settings->user.empty()) {
    return reader.reject("proxy.url",
                         "holds a login; set proxy.user, and proxy.password_file to a file with mode 0600");
  }
  settings->source = "[proxy] of agent.toml";
  config.named = std::move(*settings);
}

Result<std::string> read_password(const std::filesystem::path& file) {
  auto password = read_secret_file(file);
  if (!password) return std::move(password).error().at("read proxy.password_file");
  while (!password->empty() && (password->back() == '\n' || password->back() == '\r')) password->pop_back();
  return password;
}

}  // namespace

void read_proxy(ConfigReader& reader, ProxyConfig& config) {
  read_url(reader, config);
  std::string auth{proxy_auth_name(config.auth)};
  reader.choice("proxy.auth", auth, {"auto", "none", "basic", "digest", "ntlm", "negotiate"});
  config.auth = cloud_api::proxy_auth_from_name(auth).value_or(ProxyAuth::Auto);
  reader.text("proxy.user", config.user);
  reader.path("proxy.password_file", config.password_file);
  reader.path("proxy.keytab", config.keytab);
  const bool by_password =
      config.auth == ProxyAuth::Basic || config.auth == ProxyAuth::Digest || config.auth == ProxyAuth::Ntlm;
  if (config.user.empty() != config.password_file.empty()) {
    reader.reject(config.user.empty() ? "proxy.password_file" : "proxy.user",
                  "stands alone; a login by password needs both user and password_file");
  } else if (by_password && config.user.empty() && (config.named || config.direct)) {
    reader.reject("proxy.auth", "needs user and password_file beside it");
  }
}

Result<std::shared_ptr<ProxyConnector>> open_proxy(const ProxyConfig& config,
                                                   const cloud_api::GatewayUrl& gateway,
                                                   const cloud_api::Environment& environment) {
  if (config.direct) return std::shared_ptr<ProxyConnector>{};
  std::optional<ProxySettings> settings = config.named;
  if (!settings) {
    auto found = cloud_api::proxy_for(gateway, environment);
    if (!found) return std::move(found).error();
    settings = std::move(*found);
  }
  if (!settings) return std::shared_ptr<ProxyConnector>{};
  settings->auth = config.auth;
  if (!config.user.empty()) {
    auto password = read_password(config.password_file);
    if (!password) return std::move(password).error();
    settings->user = config.user;
    settings->password = std::move(*password);
    settings->auto_allows_basic = false;
  }
  if (!config.keytab.empty()) {
    if (auto readable = read_secret_file(config.keytab); !readable) {
      return std::move(readable).error().at("read proxy.keytab");
    }
  }
  return std::make_shared<ProxyConnector>(std::move(*settings));
}

void use_keytab(const ProxyConfig& config) {
  if (config.keytab.empty()) return;
  ::setenv("KRB5_CLIENT_KTNAME", ("FILE:" + config.keytab.string()).c_str(), 1);
  ::setenv("KRB5CCNAME", "MEMORY:culvert-proxy", 1);
}

}  // namespace culvert
