#include "cloud-api-client/include/cloud_api/proxy_connector.hpp"

#include <algorithm>
#include <array>

#include "cloud-api-client/src/connect_exchange.hpp"

namespace culvert::cloud_api {

namespace {

bool sends_password(ProxyAuth method) {
  return method == ProxyAuth::Basic || method == ProxyAuth::Digest || method == ProxyAuth::Ntlm;
}

bool offers(const std::vector<std::string>& offered, ProxyAuth method) {
  const std::string_view name = proxy_auth_name(method);
  return std::any_of(offered.begin(), offered.end(), [name](const std::string& scheme) {
    return std::equal(scheme.begin(), scheme.end(), name.begin(), name.end(),
                      [](char a, char b) { return (a | 0x20) == (b | 0x20); });
  });
}

std::string listed(const std::vector<std::string>& offered) {
  std::string text;
  for (const std::string& scheme : offered) text += (text.empty() ? "" : ", ") + scheme;
  return text.empty() ? "no method" : text;
}

/// An answer to CONNECT that is neither 2xx nor 407.
Error refusal(const ConnectOutcome& outcome, const std::string& proxy, const std::string& gateway) {
  const std::string answered = "the proxy " + proxy + " answered " + std::to_string(outcome.status);
  if (outcome.status == 0) {
    return {Errc::Unreachable, "the proxy " + proxy + " ended the connection without an answer to CONNECT (" +
                                   outcome.said + "); check that an HTTP proxy listens there"};
  }
  if (outcome.status >= 500) {
    return {Errc::Unreachable,
            answered + ": it could not reach " + gateway +
                "; check from the proxy's side that the gateway's name resolves and answers"};
  }
  return {Errc::ProxyRefused, answered + " and does not open the way to " + gateway +
                                  "; allow CONNECT to it there, or name the gateway in no_proxy"};
}

}  // namespace

ProxyConnector::ProxyConnector(ProxySettings settings) : settings_(std::move(settings)) {}

std::optional<Error> ProxyConnector::recently_refused() const {
  const std::lock_guard lock{mutex_};
  if (refusal_ && std::chrono::steady_clock::now() < refused_until_) return refusal_;
  return std::nullopt;
}

ProxyAuth ProxyConnector::first_method() const {
  if (settings_.auth != ProxyAuth::Auto) return settings_.auth;
  const std::lock_guard lock{mutex_};
  return worked_.value_or(ProxyAuth::None);
}

/// The strongest method that the proxy offers and that we have something for.
std::optional<ProxyAuth> ProxyConnector::best_of(const std::vector<std::string>& offered) const {
  if (settings_.user.empty()) {
    if (offers(offered, ProxyAuth::Negotiate)) return ProxyAuth::Negotiate;
    return std::nullopt;
  }
  for (const ProxyAuth method : std::array{ProxyAuth::Digest, ProxyAuth::Ntlm}) {
    if (offers(offered, method)) return method;
  }
  if (settings_.auto_allows_basic && offers(offered, ProxyAuth::Basic)) return ProxyAuth::Basic;
  return std::nullopt;
}

void ProxyConnector::remember(ProxyAuth method) {
  const std::lock_guard lock{mutex_};
  worked_ = method;
  refusal_.reset();
}

Error ProxyConnector::login_refused(ProxyAuth used, const std::vector<std::string>& offered) {
  const std::string who = "the proxy " + settings_.authority() + " ";
  const std::string where = " (set in " + settings_.source + ")";
  const std::string offer = "offers " + listed(offered);
  const auto refused = [](const std::string& text) { return Error{Errc::ProxyUnauthorized, text}; };
  if (used == ProxyAuth::Negotiate) {
    return refused(
        who + "did not accept our Kerberos login and " + offer + where +
        "; check the ticket (klist) or proxy.keytab, the clock, and that the proxy is named as in its "
        "service principal HTTP/" +
        settings_.host);
  }
  if (sends_password(used) && offers(offered, used)) {
    const Error error =
        refused(who + "refused the login of user '" + settings_.user + "' by " +
                std::string{proxy_auth_name(used)} + where +
                "; check user and password. It is not tried again for 60 s, so that no account "
                "gets locked");
    const std::lock_guard lock{mutex_};
    refusal_ = error;
    refused_until_ = std::chrono::steady_clock::now() +
                     std::chrono::duration_cast<std::chrono::steady_clock::duration>(kLoginPause);
    worked_.reset();
    return error;
  }
  if (used != ProxyAuth::None) {
    return refused(who + offer + " and not " + std::string{proxy_auth_name(used)} + where +
                   "; set proxy.auth to a method that it offers");
  }
  if (settings_.user.empty()) {
    return refused(who + "demands a login and " + offer + where +
                   "; set proxy.user and proxy.password_file in agent.toml, or proxy.keytab for Negotiate");
  }
  if (settings_.auth == ProxyAuth::Auto && offers(offered, ProxyAuth::Basic)) {
    return refused(who + offer + ": the password would go there in the clear" + where +
                   "; set proxy.auth = \"basic\" to allow that");
  }
  return refused(who + "demands a login and " + offer + where +
                 "; set proxy.auth to a method that it offers");
}

Result<UniqueFd> ProxyConnector::connect(const std::string& host, std::uint16_t port, Instant deadline,
                                         const Wake& cancelled) {
  if (auto refused = recently_refused()) return std::move(*refused);
  const GatewayUrl gateway{host, port};
  ProxyAuth method = first_method();
  ConnectOutcome outcome = exchange_connect(settings_, method, gateway, deadline, cancelled);
  if (!outcome.fd && outcome.status == 407 && settings_.auth == ProxyAuth::Auto) {
    if (const auto better = best_of(outcome.offered); better && *better != method) {
      method = *better;
      outcome = exchange_connect(settings_, method, gateway, deadline, cancelled);
    }
  }
  if (outcome.fd) {
    remember(method);
    return std::move(outcome.fd);
  }
  if (outcome.failure) {
    return std::move(*outcome.failure)
        .at("by way of the proxy", settings_.authority() + " of " + settings_.source);
  }
  if (outcome.status == 407) return login_refused(method, outcome.offered);
  return refusal(outcome, settings_.authority(), gateway.authority());
}

}  // namespace culvert::cloud_api
