// The provider's commands about bandwidth limits and lanes.
#include <charconv>

#include "cloud-gateway/control/admin_service.hpp"
#include "cloud-gateway/control/limit_json.hpp"
#include "tunnel-core/base/limits.hpp"

namespace culvert {

using nlohmann::json;

namespace {

std::string text_of(const json& arguments, const char* name) {
  return arguments.is_object() ? arguments.value(name, std::string{}) : std::string{};
}

Result<LimitScope> scope_of(const AdminRequest& request) {
  LimitScope scope{text_of(request.arguments, "org"), text_of(request.arguments, "site"),
                   text_of(request.arguments, "target")};
  if (scope.org.empty()) return missing_argument(request.command, "org");
  return scope;
}

/// Absent: not asked for. 0: the gateway's own.
Result<std::optional<std::uint64_t>> lanes_of(const AdminRequest& request, const LimitScope& scope) {
  const std::string text = text_of(request.arguments, "lanes");
  if (text.empty()) return std::optional<std::uint64_t>{};
  if (!scope.site.empty() || !scope.target.empty() || request.arguments.contains("windows"))
    return Error{Errc::UsageInvalid,
                 "--lanes is for a whole org at all times; leave out --site, --target and --window"};
  if (text == "default") return std::optional<std::uint64_t>{0};
  std::uint64_t lanes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), lanes);
  if (error != std::errc{} || end != text.data() + text.size() || lanes < 1 || lanes > kMaxLanes)
    return Error{Errc::UsageInvalid,
                 "--lanes must be a number from 1 to " + std::to_string(kMaxLanes) + ", or 'default'"};
  return std::optional{lanes};
}

}  // namespace

Result<json> AdminService::set_limit(const AdminRequest& request) {
  const auto scope = scope_of(request);
  if (!scope) return scope.error();
  const auto lanes = lanes_of(request, *scope);
  if (!lanes) return lanes.error();
  auto change = LimitChange::read(request.arguments);
  if (!change) return std::move(change).error();
  if (!change->names_a_rate() && !*lanes)
    return Error{Errc::UsageInvalid,
                 "nothing to limit was named; say --up, --down or --lanes, like --up '100 Mbit/s'"};
  LimitRecord record{*scope, {}};
  if (change->names_a_rate()) {
    auto changed = store_.change_limit(
        *scope, [&](BandwidthLimit& limit) { return change->apply(limit); }, actor_of(request));
    if (!changed) return std::move(changed).error();
    record = std::move(*changed);
  }
  if (*lanes) {
    if (auto set = store_.set_lane_ceiling(scope->org, **lanes, actor_of(request)); !set)
      return std::move(set).error();
  }
  json shown = limit_json(record, now_());
  if (!change->names_a_rate()) shown.erase("now");
  if (*lanes) shown["lanes"] = **lanes == 0 ? json("default") : json(**lanes);
  return in_force(std::move(shown));
}

Result<json> AdminService::remove_limit(const AdminRequest& request) {
  const auto scope = scope_of(request);
  if (!scope) return scope.error();
  auto change = LimitChange::read(request.arguments);
  if (!change) return std::move(change).error();
  const auto edit = [&](BandwidthLimit& limit) -> Result<void> {
    if (limit.empty())
      return Error{Errc::NotFound,
                   "there is no such limit; see 'culvert-gateway limit list " + scope->org + "'"};
    return change->remove_from(limit);
  };
  auto changed = store_.change_limit(*scope, edit, actor_of(request));
  if (!changed) return std::move(changed).error();
  return in_force(limit_json(*changed, now_()));
}

Result<json> AdminService::list_limits(const AdminRequest& request) {
  auto list = store_.list_limits(text_of(request.arguments, "org"));
  if (!list) return std::move(list).error();
  json limits = json::array();
  for (const LimitRecord& record : list->limits) limits.push_back(limit_json(record, now_()));
  json lanes = json::array();
  for (const auto& [org, ceiling] : list->lanes) lanes.push_back({{"org", org}, {"lanes", ceiling}});
  return json{
      {"limits", std::move(limits)}, {"lanes", std::move(lanes)}, {"time_zone", local_zone_name(now_())}};
}

}  // namespace culvert
