#include "cloud-gateway/control/admin_service.hpp"

#include "cloud-gateway/control/limit_json.hpp"

#include <algorithm>
#include <map>

#include "cloud-gateway/control/target_address.hpp"
#include "cloud-gateway/control/version.hpp"

namespace culvert {

using nlohmann::json;

namespace {

Result<std::string> argument(const AdminRequest& request, const char* name) {
  const auto found = request.arguments.find(name);
  if (!request.arguments.is_object() || found == request.arguments.end() || !found->is_string() ||
      found->get_ref<const std::string&>().empty())
    return missing_argument(request.command, name);
  return found->get<std::string>();
}

std::string optional_argument(const AdminRequest& request, const char* name) {
  if (!request.arguments.is_object()) return {};
  const auto found = request.arguments.find(name);
  return found != request.arguments.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

json time_or_null(const std::optional<WallTime>& time) {
  return time ? json(certs::utc_text(*time)) : json(nullptr);
}

std::string session_id_text(SessionId id) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(id.value));
  return text;
}

}  // namespace

Error missing_argument(std::string command, std::string argument) {
  std::replace(command.begin(), command.end(), '.', ' ');
  for (char& c : argument) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return Error{Errc::UsageInvalid,
               argument + " is missing or empty; see 'culvert-gateway " + command + " --help'"};
}

AdminService::AdminService(Store& store, JoiningTerms terms, AdminHooks hooks, std::function<WallTime()> now)
    : store_(store), terms_(std::move(terms)), hooks_(std::move(hooks)), now_(std::move(now)) {}

Result<json> AdminService::execute(const AdminRequest& request) {
  const std::string& command = request.command;
  if (command == "org.add") return add_org(request);
  if (command == "org.list") return list_orgs();
  if (command == "org.remove") return remove_org(request);
  if (command == "target.add") return add_target(request);
  if (command == "target.list") return list_targets(request);
  if (command == "target.remove") return remove_target(request);
  if (command == "site.list") return list_sites(request);
  if (command == "site.remove") return remove_site(request);
  if (command == "limit.set") return set_limit(request);
  if (command == "limit.remove") return remove_limit(request);
  if (command == "limit.list") return list_limits(request);
  if (command == "join-token") return make_joining_string(request);
  if (command == "status") return status();
  return Error{Errc::UsageInvalid, "this culvert-gateway does not know the command '" + command +
                                       "'; daemon and command line may be of different versions"};
}

Result<json> AdminService::add_org(const AdminRequest& request) {
  auto org = argument(request, "org");
  if (!org) return std::move(org).error();
  if (auto named = certs::check_name("org", *org); !named) return std::move(named).error();
  if (auto added = store_.add_org(*org, actor_of(request)); !added) return std::move(added).error();
  return in_force({{"org", *org}});
}

Result<json> AdminService::list_orgs() {
  auto orgs = store_.list_orgs();
  if (!orgs) return std::move(orgs).error();
  json list = json::array();
  for (const OrgRecord& org : *orgs)
    list.push_back({{"name", org.name},
                    {"created_at", certs::utc_text(org.created_at)},
                    {"sites", org.sites},
                    {"targets", org.targets}});
  return json{{"orgs", std::move(list)}};
}

Result<json> AdminService::remove_org(const AdminRequest& request) {
  auto org = argument(request, "org");
  if (!org) return std::move(org).error();
  auto sites = store_.list_sites(*org);
  if (!sites) return std::move(sites).error();
  if (auto removed = store_.remove_org(*org, actor_of(request)); !removed) return std::move(removed).error();
  auto result = in_force({{"org", *org}, {"sites", json::array()}});
  for (const SiteRecord& site : *sites) {
    if (result) (*result)["sites"].push_back(site.name);
    end_site(site.org, site.name);
  }
  return result;
}

Result<json> AdminService::add_target(const AdminRequest& request) {
  auto org = argument(request, "org");
  auto name = argument(request, "target");
  auto text = argument(request, "address");
  if (!org) return std::move(org).error();
  if (!name) return std::move(name).error();
  if (!text) return std::move(text).error();
  if (auto named = certs::check_name("target", *name); !named) return std::move(named).error();
  auto address = parse_target_address(*text);
  if (!address) return std::move(address).error();
  const TargetRecord target{*org, *name, address->host, address->port, address->literal_permitted};
  if (auto added = store_.add_target(target, actor_of(request)); !added) return std::move(added).error();
  return in_force({{"org", *org}, {"target", *name}, {"address", address->to_text()}});
}

Result<json> AdminService::list_targets(const AdminRequest& request) {
  auto targets = store_.list_targets(optional_argument(request, "org"));
  if (!targets) return std::move(targets).error();
  json list = json::array();
  for (const TargetRecord& target : *targets)
    list.push_back({{"org", target.org},
                    {"name", target.name},
                    {"address", TargetAddress{target.host, target.port, false}.to_text()},
                    {"address_permitted", target.address_permitted}});
  return json{{"targets", std::move(list)}};
}

Result<json> AdminService::remove_target(const AdminRequest& request) {
  auto org = argument(request, "org");
  auto target = argument(request, "target");
  if (!org) return std::move(org).error();
  if (!target) return std::move(target).error();
  if (auto removed = store_.remove_target(*org, *target, actor_of(request)); !removed)
    return std::move(removed).error();
  return in_force({{"org", *org}, {"target", *target}});
}

Result<json> AdminService::list_sites(const AdminRequest& request) {
  auto sites = store_.list_sites(optional_argument(request, "org"));
  if (!sites) return std::move(sites).error();
  std::map<std::pair<std::string, std::string>, std::string> states;
  if (hooks_.live_status) {
    for (const LiveSession& session : hooks_.live_status().sessions)
      states[{session.identity.org, session.identity.site}] = session.state;
  }
  json list = json::array();
  for (const SiteRecord& site : *sites) {
    const auto state = states.find({site.org, site.name});
    list.push_back({{"org", site.org},
                    {"name", site.name},
                    {"created_at", certs::utc_text(site.created_at)},
                    {"certificate_expires_at", time_or_null(site.certificate_expires_at)},
                    {"state", state != states.end()         ? state->second
                              : site.certificate_expires_at ? std::string{"down"}
                                                            : std::string{"not enrolled"}}});
  }
  return json{{"sites", std::move(list)}};
}

Result<json> AdminService::remove_site(const AdminRequest& request) {
  auto org = argument(request, "org");
  auto site = argument(request, "site");
  if (!org) return std::move(org).error();
  if (!site) return std::move(site).error();
  if (auto removed = store_.remove_site(*org, *site, actor_of(request)); !removed)
    return std::move(removed).error();
  auto result = in_force({{"org", *org}, {"site", *site}});
  end_site(*org, *site);
  return result;
}

Result<json> AdminService::make_joining_string(const AdminRequest& request) {
  auto org = argument(request, "org");
  auto site = argument(request, "site");
  if (!org) return std::move(org).error();
  if (!site) return std::move(site).error();
  if (auto named = certs::check_name("site", *site); !named) return std::move(named).error();

  certs::JoiningString joining;
  joining.gateway_url = terms_.gateway_url;
  joining.trust = terms_.trust;
  joining.root_fingerprint = terms_.root_fingerprint;
  joining.org = *org;
  joining.site = *site;
  joining.expires_at = now_() + terms_.validity;
  joining.secret = certs::new_joining_secret();
  // Before the store is touched: what cannot be written down must not be remembered.
  auto text = joining.encode();
  if (!text) return std::move(text).error();
  const JoiningToken token{certs::joining_secret_hash(joining.secret), *org, *site, joining.expires_at};
  if (auto added = store_.add_joining_token(token, actor_of(request)); !added)
    return std::move(added).error();
  return in_force({{"joining_string", *text},
                   {"org", *org},
                   {"site", *site},
                   {"gateway_url", joining.gateway_url},
                   {"expires_at", certs::utc_text(joining.expires_at)}});
}

Result<json> AdminService::status() {
  if (!hooks_.live_status)
    return Error{Errc::DaemonUnreachable,
                 "no culvert-gateway runs here; start it with 'culvert-gateway run'"};
  auto orgs = store_.list_orgs();
  if (!orgs) return std::move(orgs).error();
  std::uint64_t sites = 0;
  for (const OrgRecord& org : *orgs) sites += org.sites;
  auto limits = store_.list_limits("");
  if (!limits) return std::move(limits).error();
  const LiveStatus live = hooks_.live_status();
  json shown = status_json(live, orgs->size(), sites, store_.verify_audit(), now_());
  shown["limits"] = limits_json(*limits, live.limiting, now_());
  return shown;
}

Actor AdminService::actor_of(const AdminRequest& request) const {
  return {"uid:" + std::to_string(request.caller_uid), now_()};
}

Result<json> AdminService::in_force(json result) {
  if (!hooks_.on_change) return result;
  if (auto applied = hooks_.on_change(); !applied)
    return Error{applied.error().code(), "the change is stored, but not yet in force: " +
                                             applied.error().message() + "; restart culvert-gateway"};
  return result;
}

void AdminService::end_site(const std::string& org, const std::string& site) {
  if (hooks_.end_site) hooks_.end_site({org, site}, Errc::AccessRevoked);
}

json status_json(const LiveStatus& live, std::uint64_t orgs, std::uint64_t sites,
                 const Result<std::uint64_t>& audit, WallTime now) {
  json sessions = json::array();
  std::uint64_t open = 0;
  for (const LiveSession& session : live.sessions) {
    open += session.streams;
    sessions.push_back({{"org", session.identity.org},
                        {"site", session.identity.site},
                        {"id", session_id_text(session.id)},
                        {"state", session.state},
                        {"since", certs::utc_text(session.since)},
                        {"lanes", session.lanes},
                        {"streams", session.streams},
                        {"sent_bytes", session.sent_bytes},
                        {"received_bytes", session.received_bytes},
                        {"limited_by", session.limited_by}});
  }
  std::sort(sessions.begin(), sessions.end(), [](const json& a, const json& b) {
    return std::pair{a.at("org"), a.at("site")} < std::pair{b.at("org"), b.at("site")};
  });
  json log{{"intact", audit.has_value()}};
  if (audit) {
    log["entries"] = *audit;
  } else {
    log["error"] = audit.error().text();
  }
  return {{"version", kVersion},
          {"listen", live.listen},
          {"started_at", certs::utc_text(live.started_at)},
          {"uptime_s", std::max<std::int64_t>(0, (now - live.started_at).count())},
          {"state", live.draining ? "draining" : "running"},
          {"orgs", orgs},
          {"sites", sites},
          {"sessions", std::move(sessions)},
          {"streams",
           {{"open", open},
            {"opened_total", live.streams_opened_total},
            {"reset_total", live.streams_reset_total}}},
          {"audit", std::move(log)}};
}

}  // namespace culvert
