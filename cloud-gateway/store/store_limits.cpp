// Bandwidth limits and ceilings of lanes.
#include "cloud-gateway/store/database.hpp"
#include "tunnel-core/daemon/quantity.hpp"

namespace culvert {

using soci::into;
using soci::use;

namespace {

constexpr std::string_view kSeparator = "\n";

std::string windows_text(const BandwidthLimit& limit, std::string_view separator) {
  std::string text;
  for (const RateWindow& window : limit.windows)
    text += (text.empty() ? std::string{} : std::string{separator}) + window.to_text();
  return text;
}

Result<std::vector<RateWindow>> parse_windows(const std::string& text) {
  std::vector<RateWindow> windows;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    auto window = RateWindow::parse(std::string_view{text}.substr(begin, end - begin));
    if (!window) return std::move(window).error().at("read a limit's windows from the store");
    windows.push_back(std::move(*window));
    begin = end + 1;
  }
  return windows;
}

std::string object_of(const LimitScope& scope) {
  std::string object = scope.org;
  if (!scope.site.empty()) object += "/" + scope.site;
  if (!scope.target.empty()) object += " target=" + scope.target;
  return object;
}

void delete_row(soci::session& sql, const LimitScope& scope) {
  sql << "DELETE FROM limits WHERE org = :org AND site = :site AND target = :target", use(scope.org),
      use(scope.site), use(scope.target);
}

}  // namespace

Result<std::vector<LimitRecord>> select_limits(soci::session& sql, const std::string& org) {
  std::vector<LimitRecord> limits;
  LimitScope scope;
  long long up = 0;
  long long down = 0;
  std::string windows;
  soci::statement rows =
      (sql.prepare << "SELECT org, site, target, up_bits_per_s, down_bits_per_s, windows FROM limits "
                      "WHERE :org = '' OR org = :org ORDER BY org, site, target",
       use(org, "org"), into(scope.org), into(scope.site), into(scope.target), into(up), into(down),
       into(windows));
  rows.execute();
  while (rows.fetch()) {
    auto parsed = parse_windows(windows);
    if (!parsed) return std::move(parsed).error();
    const Rates rates{{static_cast<std::uint64_t>(up)}, {static_cast<std::uint64_t>(down)}};
    limits.push_back({scope, {rates, std::move(*parsed)}});
  }
  return limits;
}

std::map<std::string, std::uint64_t> select_lane_ceilings(soci::session& sql, const std::string& org) {
  std::map<std::string, std::uint64_t> ceilings;
  std::string name;
  int lanes = 0;
  soci::statement rows =
      (sql.prepare << "SELECT org, lanes FROM lane_ceilings WHERE :org = '' OR org = :org ORDER BY org",
       use(org, "org"), into(name), into(lanes));
  rows.execute();
  while (rows.fetch()) ceilings[name] = static_cast<std::uint64_t>(lanes);
  return ceilings;
}

Result<LimitRecord> Store::change_limit(const LimitScope& scope, const LimitEdit& edit, const Actor& actor) {
  return impl_->db.transaction("change a limit", [&](soci::session& sql) -> Result<LimitRecord> {
    if (!org_exists(sql, scope.org)) return unknown_org(scope.org);
    LimitRecord record{scope, {}};
    auto limits = select_limits(sql, scope.org);
    if (!limits) return std::move(limits).error();
    bool found = false;
    for (LimitRecord& known : *limits) {
      if (!(known.scope == scope)) continue;
      record = std::move(known);
      found = true;
    }
    if (!found) {
      if (!scope.site.empty() && !site_exists(sql, scope.org, scope.site))
        return unknown_site(scope.org, scope.site);
      if (!scope.target.empty() && !target_exists(sql, scope.org, scope.target))
        return unknown_target(scope.org, scope.target);
    }
    if (auto edited = edit(record.limit); !edited) return std::move(edited).error();
    delete_row(sql, scope);
    if (record.limit.empty()) {
      append_audit_row(sql, actor, "limit.remove", object_of(scope), "");
      return record;
    }
    const auto up = static_cast<long long>(record.limit.rates.up.value);
    const auto down = static_cast<long long>(record.limit.rates.down.value);
    const std::string windows = windows_text(record.limit, kSeparator);
    sql << "INSERT INTO limits (org, site, target, up_bits_per_s, down_bits_per_s, windows) "
           "VALUES (:org, :site, :target, :up, :down, :windows)",
        use(scope.org), use(scope.site), use(scope.target), use(up), use(down), use(windows);
    append_audit_row(sql, actor, "limit.set", object_of(scope),
                     "up=" + format_rate(record.limit.rates.up) +
                         " down=" + format_rate(record.limit.rates.down) +
                         " windows=" + windows_text(record.limit, ", "));
    return record;
  });
}

Result<void> Store::set_lane_ceiling(const std::string& org, std::uint64_t lanes, const Actor& actor) {
  return impl_->db.transaction("set the ceiling of lanes", [&](soci::session& sql) -> Result<void> {
    if (!org_exists(sql, org)) return unknown_org(org);
    sql << "DELETE FROM lane_ceilings WHERE org = :org", use(org);
    const int number = static_cast<int>(lanes);
    if (number > 0)
      sql << "INSERT INTO lane_ceilings (org, lanes) VALUES (:org, :lanes)", use(org), use(number);
    append_audit_row(sql, actor, "limit.lanes", org, number > 0 ? std::to_string(number) : "default");
    return {};
  });
}

Result<LimitList> Store::list_limits(const std::string& org) {
  return impl_->db.transaction("list the limits", [&](soci::session& sql) -> Result<LimitList> {
    if (!org.empty() && !org_exists(sql, org)) return unknown_org(org);
    auto limits = select_limits(sql, org);
    if (!limits) return std::move(limits).error();
    return LimitList{std::move(*limits), select_lane_ceilings(sql, org)};
  });
}

}  // namespace culvert
