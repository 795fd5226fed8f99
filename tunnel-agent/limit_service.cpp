#include "tunnel-agent/limit_service.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "certs/utc_time.hpp"
#include "tunnel-agent/forward.hpp"

namespace culvert {

using nlohmann::json;

namespace {

json entry(const LimitScope& scope, const BandwidthLimit& limit) {
  json shown = to_json(limit, local_week_minute(certs::utc_now()));
  shown["forward"] = scope.empty() ? json(nullptr) : json(scope);
  return shown;
}

}  // namespace

Result<json> LimitService::execute(const AdminRequest& request) {
  if (request.command == "limit.set") return change(request.arguments, false);
  if (request.command == "limit.remove") return change(request.arguments, true);
  if (request.command == "limit.list") return list();
  return Error{Errc::UsageInvalid,
               fmt::format("the agent does not know the command '{}'; are both of the same version?",
                           request.command)};
}

Result<json> LimitService::change(const json& arguments, bool remove) {
  auto wanted = LimitChange::read(arguments);
  if (!wanted) return std::move(wanted).error();
  if (!remove && !wanted->names_a_rate())
    return Error{Errc::UsageInvalid, "no rate was named; say --up, --down or both, like --up '100 Mbit/s'"};
  const LimitScope scope = arguments.value("forward", std::string{});
  auto files = load_forwards(forwards_);
  if (!files) return std::move(files).error();
  const bool known = std::ranges::any_of(*files, [&](const ForwardFile& file) { return file.name == scope; });
  auto limits = load_limits(limits_);
  if (!limits) return std::move(limits).error();
  if (!scope.empty() && !known && !(remove && limits->contains(scope))) {
    return Error{
        Errc::NotFound,
        fmt::format("there is no forward '{}'; `culvert-agent forward list` shows what there is", scope)};
  }
  BandwidthLimit limit = (*limits)[scope];
  if (remove && limit.empty()) {
    return Error{Errc::NotFound,
                 fmt::format("{} has no limit; `culvert-agent limit list` shows what there is",
                             scope.empty() ? "the site" : "forward '" + scope + "'")};
  }
  const auto changed = remove ? wanted->remove_from(limit) : wanted->apply(limit);
  if (!changed) return changed.error();
  if (auto done = put(scope, limit); !done) return std::move(done).error();
  return entry(scope, limit);
}

Result<json> LimitService::list() {
  auto limits = load_limits(limits_);
  if (!limits) return std::move(limits).error();
  json list = json::array();
  for (const auto& [scope, limit] : *limits) list.push_back(entry(scope, limit));
  return json{{"limits", std::move(list)}, {"time_zone", local_zone_name(certs::utc_now())}};
}

Result<void> LimitService::put(const LimitScope& scope, const BandwidthLimit& limit) {
  if (auto saved = save_limit(limits_, scope, limit); !saved) return saved;
  return apply_ ? apply_(scope, limit) : Result<void>{};
}

Result<void> LimitService::forget_forward(const std::string& forward) {
  auto limits = load_limits(limits_);
  if (!limits || !limits->contains(forward)) return {};
  return put(forward, {});
}

Result<json> execute_on_files(ForwardService& forwards, LimitService& limits, const AdminRequest& request) {
  if (request.command.starts_with("limit.")) return limits.execute(request);
  auto done = forwards.execute(request);
  if (!done || request.command != "forward.remove") return done;
  if (auto forgotten = limits.forget_forward(done->at("name").get<std::string>()); !forgotten)
    return std::move(forgotten).error().at("remove the forward's limit");
  return done;
}

}  // namespace culvert
