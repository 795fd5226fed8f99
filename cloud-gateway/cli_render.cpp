#include "cloud-gateway/cli_render.hpp"

#include <algorithm>

#include "tunnel-core/daemon/bandwidth_limit.hpp"
#include "tunnel-core/daemon/json_text.hpp"

namespace culvert {

using nlohmann::json;

namespace {

using Row = std::vector<std::string>;

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "-";
  if (found->is_string()) return found->get<std::string>();
  return found->dump(-1, ' ', false, json::error_handler_t::replace);
}

std::vector<Row> rows_of(const json& list, const std::vector<const char*>& keys) {
  std::vector<Row> rows;
  for (const json& entry : list) {
    Row row;
    for (const char* key : keys) row.push_back(text_of(entry, key));
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  auto value = static_cast<double>(bytes);
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string uptime_text(std::int64_t seconds) {
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min";
  if (seconds < 48 * 3600)
    return std::to_string(seconds / 3600) + " h " + std::to_string(seconds / 60 % 60) + " min";
  return std::to_string(seconds / 86400) + " d";
}

/// `acme/tokyo to dr-db`.
std::string scope_text(const json& limit) {
  std::string text = text_of(limit, "org");
  if (!limit.at("site").is_null()) text += "/" + text_of(limit, "site");
  if (!limit.at("target").is_null()) text += " to " + text_of(limit, "target");
  return text;
}

CliOutput render_limits(const json& result, const std::string& config_option) {
  std::vector<Row> rows;
  for (const json& limit : result.at("limits")) {
    const json& now = limit.at("now").at("window");
    rows.push_back({scope_text(limit), "-", rate_text(limit, "up_bits_per_s"),
                    rate_text(limit, "down_bits_per_s"), now.is_null() ? "now" : ""});
    for (const json& window : limit.at("windows"))
      rows.push_back({"", text_of(window, "window"), rate_text(window, "up_bits_per_s"),
                      rate_text(window, "down_bits_per_s"), now == window.at("window") ? "now" : ""});
  }
  std::string text;
  if (!rows.empty())
    text =
        render_table({"LIMIT", "WINDOW (" + text_of(result, "time_zone") + ")", "UP", "DOWN", "NOW"}, rows);
  if (!result.at("lanes").empty())
    text += (text.empty() ? "" : "\n") +
            render_table({"ORG", "LANES AT MOST"}, rows_of(result.at("lanes"), {"org", "lanes"}));
  if (text.empty())
    return {"", "no limits; set one with 'culvert-gateway limit set ORG --up RATE" + config_option + "'\n"};
  return {text, ""};
}

CliOutput render_list(const std::string& command, const json& result, const std::string& config_option) {
  if (command == "limit.list") return render_limits(result, config_option);
  if (command == "org.list") {
    if (result.at("orgs").empty())
      return {"", "no orgs yet; add one with 'culvert-gateway org add NAME" + config_option + "'\n"};
    return {render_table({"ORG", "SITES", "TARGETS", "SINCE"},
                         rows_of(result.at("orgs"), {"name", "sites", "targets", "created_at"})),
            ""};
  }
  if (command == "target.list") {
    if (result.at("targets").empty())
      return {"", "no targets yet; add one with 'culvert-gateway target add ORG NAME HOST:PORT" +
                      config_option + "'\n"};
    return {
        render_table({"ORG", "TARGET", "ADDRESS"}, rows_of(result.at("targets"), {"org", "name", "address"})),
        ""};
  }
  if (result.at("sites").empty())
    return {"", "no sites yet; invite one with 'culvert-gateway join-token ORG SITE" + config_option + "'\n"};
  return {render_table(
              {"ORG", "SITE", "STATE", "CERTIFICATE UNTIL", "SINCE"},
              rows_of(result.at("sites"), {"org", "name", "state", "certificate_expires_at", "created_at"})),
          ""};
}

std::string render_status(const json& status) {
  const json& streams = status.at("streams");
  const json& audit = status.at("audit");
  std::string listen;
  for (const json& address : status.at("listen"))
    listen += (listen.empty() ? "" : ", ") + address.get<std::string>();
  std::string text = "culvert-gateway " + text_of(status, "version") + " " + text_of(status, "state") +
                     ", up " + uptime_text(status.at("uptime_s").get<std::int64_t>()) + "\n";
  text += "listen    " + (listen.empty() ? "-" : listen) + "\n";
  text += "orgs      " + text_of(status, "orgs") + ", sites " + text_of(status, "sites") + "\n";
  text += "sessions  " + std::to_string(status.at("sessions").size()) + "\n";
  text += "streams   " + text_of(streams, "open") + " open, " + text_of(streams, "opened_total") +
          " opened, " + text_of(streams, "reset_total") + " reset\n";
  text += "audit     " +
          (audit.at("intact").get<bool>() ? text_of(audit, "entries") + " entries, intact"
                                          : text_of(audit, "error")) +
          "\n";
  for (const json& limit : status.value("limits", json::array())) {
    const json& now = limit.at("now");
    const json& limiting = limit.at("limiting");
    text += "limit     " + scope_text(limit) + ": up " + rate_text(now, "up_bits_per_s") + ", down " +
            rate_text(now, "down_bits_per_s") +
            (now.at("window").is_null() ? "" : " (" + text_of(now, "window") + ")") +
            (limiting.at("up").get<bool>() ? ", limiting up" : "") +
            (limiting.at("down").get<bool>() ? ", limiting down" : "") + "\n";
  }
  if (status.at("sessions").empty()) return text;
  auto rows = rows_of(status.at("sessions"),
                      {"org", "site", "state", "lanes", "streams", "", "", "limited_by", "since"});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const json& session = status.at("sessions")[i];
    rows[i][5] = bytes_text(session.at("sent_bytes").get<std::uint64_t>());
    rows[i][6] = bytes_text(session.at("received_bytes").get<std::uint64_t>());
  }
  return text + "\n" +
         render_table({"ORG", "SITE", "STATE", "LANES", "STREAMS", "SENT", "RECEIVED", "LIMITED BY", "SINCE"},
                      rows);
}

/// What was done, and what usually comes next.
std::string done_text(const std::string& command, const json& result, const std::string& config_option) {
  const std::string org = text_of(result, "org");
  if (command.starts_with("limit.")) {
    std::string text;
    if (result.contains("now")) {
      const json& now = result.at("now");
      text = "limit of " + scope_text(result) + " now: up " + rate_text(now, "up_bits_per_s") + ", down " +
             rate_text(now, "down_bits_per_s") +
             (now.at("window").is_null() ? "" : " (" + text_of(now, "window") + ")") + "\n";
    }
    if (result.contains("lanes"))
      text += "lanes of org " + org + " at most: " + text_of(result, "lanes") + "\n";
    return text;
  }
  if (command == "org.add")
    return "org " + org + " added; next: culvert-gateway target add " + org + " NAME HOST:PORT" +
           config_option + "\n";
  if (command == "org.remove")
    return "org " + org + " removed, with " + std::to_string(result.at("sites").size()) + " site(s)\n";
  if (command == "target.add")
    return "org " + org + " may reach target " + text_of(result, "target") + " at " +
           text_of(result, "address") + "\n";
  if (command == "target.remove")
    return "target " + text_of(result, "target") + " of org " + org + " removed\n";
  return "site " + text_of(result, "site") + " of org " + org +
         " removed; its certificates are refused from now on\n";
}

}  // namespace

CliOutput render_result(const std::string& command, const json& result, bool as_json,
                        const std::string& config_option) {
  if (as_json) return {json_text(result), ""};
  if (command == "status") return {render_status(result), ""};
  if (command == "join-token")
    return {text_of(result, "joining_string") + "\n",
            "On the machine of site " + text_of(result, "site") + " of org " + text_of(result, "org") +
                ", before " + text_of(result, "expires_at") +
                ":\n  culvert-agent join JOINSTRING --data DIR\nIt works once, and leads to " +
                text_of(result, "gateway_url") + "\n"};
  if (command.ends_with(".list")) return render_list(command, result, config_option);
  return {"", done_text(command, result, config_option)};
}

std::string render_table(const Row& header, const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (std::size_t column = 0; column < header.size(); ++column) {
    std::size_t width = header[column].size();
    for (const Row& row : rows) width = std::max(width, row[column].size());
    widths.push_back(width);
  }
  std::string text;
  const auto add_line = [&](const Row& row) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      line += row[column];
      line.append(widths[column] - row[column].size() + 2, ' ');
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  add_line(header);
  for (const Row& row : rows) add_line(row);
  return text;
}

}  // namespace culvert
