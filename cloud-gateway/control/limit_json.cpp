#include "cloud-gateway/control/limit_json.hpp"

#include <map>

namespace culvert {

using nlohmann::json;

namespace {

json name_or_null(const std::string& name) {
  return name.empty() ? json(nullptr) : json(name);
}

}  // namespace

json limit_json(const LimitRecord& record, WallTime now) {
  json shown = to_json(record.limit, local_week_minute(now));
  shown["org"] = record.scope.org;
  shown["site"] = name_or_null(record.scope.site);
  shown["target"] = name_or_null(record.scope.target);
  return shown;
}

json limits_json(const LimitList& list, const std::vector<LiveLimit>& limiting, WallTime now) {
  std::map<LimitScope, std::pair<bool, bool>> busy;
  for (const LiveLimit& live : limiting) {
    auto& [up, down] = busy[live.scope];
    up = up || live.up;
    down = down || live.down;
  }
  json all = json::array();
  for (const LimitRecord& record : list.limits) {
    json shown = limit_json(record, now);
    const auto [up, down] = busy[record.scope];
    shown["limiting"] = {{"up", up}, {"down", down}};
    all.push_back(std::move(shown));
  }
  return all;
}

}  // namespace culvert
