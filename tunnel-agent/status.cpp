#include "tunnel-agent/status.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tunnel-core/daemon/bandwidth_limit.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

using nlohmann::json;

namespace {

using Row = std::vector<std::string>;

/// Columns as wide as their widest entry; what came from elsewhere cannot move the terminal's cursor.
std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "-";
  if (found->is_string())
    return found->get<std::string>().empty() ? "-" : escape_controls(found->get<std::string>());
  if (found->is_array()) {
    std::string joined;
    for (const json& entry : *found) joined += (joined.empty() ? "" : ",") + entry.get<std::string>();
    return joined.empty() ? "-" : escape_controls(joined);
  }
  if (found->is_number_float()) return fmt::format("{:.1f}", found->get<double>());
  return found->dump();
}

std::string rows_of(const json& list, const Row& head, const std::vector<const char*>& keys) {
  std::vector<Row> rows{head};
  for (const json& entry : list) {
    Row row;
    for (const char* key : keys) row.push_back(text_of(entry, key));
    rows.push_back(std::move(row));
  }
  return table(rows);
}

std::string limit_text(const std::string& limited_by) {
  if (limited_by == "limit") return "a bandwidth limit: see below";
  if (limited_by == "line") return "the line: data waits for the lanes";
  if (limited_by == "buffers")
    return "socket buffers: raise net.ipv4.tcp_wmem here and tcp_rmem at the gateway";
  if (limited_by == "window") return "the far end: it takes no more before its target has";
  if (limited_by == "memory") return "memory: raise [limits] session_memory in agent.toml";
  return limited_by;
}

double milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

json to_json(const LaneStatus& lane) {
  json object{{"id", lane.id},
              {"state", lane.state},
              {"rtt_ms", lane.rtt_ms},
              {"sent_bytes", lane.sent_bytes},
              {"received_bytes", lane.received_bytes},
              {"carrier", lane.carrier},
              {"proxy", lane.proxy.empty() ? json(nullptr) : json(lane.proxy)}};
  if (lane.line) {
    object["segments_sent"] = lane.line->segments_sent;
    object["segments_resent"] = lane.line->segments_resent;
    object["tcp_rtt_ms"] = milliseconds(lane.line->round_trip);
    object["tcp_least_rtt_ms"] = milliseconds(lane.line->least_round_trip);
    object["congestion_control"] = lane.line->congestion_control;
  }
  return object;
}

json to_json(const ForwardStatus& forward) {
  json trouble = nullptr;
  if (forward.trouble) {
    trouble = {{"reason", errc_name(forward.trouble->reason)},
               {"text", forward.trouble->text},
               {"at", forward.trouble->at}};
  }
  return {{"name", forward.name},
          {"listen", forward.listen},
          {"port", forward.port},
          {"state", state_name(forward.state)},
          {"error", forward.error},
          {"streams", forward.streams},
          {"weight", forward.weight == 0 ? json(nullptr) : json(forward.weight)},
          {"target_trouble", std::move(trouble)}};
}

json to_json(const LimitStatus& limit) {
  const auto rate = [](std::uint64_t bits) { return bits == 0 ? json(nullptr) : json(bits); };
  return {{"forward", limit.forward.empty() ? json(nullptr) : json(limit.forward)},
          {"window", limit.window.empty() ? json(nullptr) : json(limit.window)},
          {"up_bits_per_s", rate(limit.up_bits_per_s)},
          {"down_bits_per_s", rate(limit.down_bits_per_s)},
          {"limiting", {{"up", limit.up_limiting}, {"down", limit.down_limiting}}}};
}

std::string limit_owner(const json& limit) {
  return limit.at("forward").is_null() ? "site" : "forward " + text_of(limit, "forward");
}

std::string limiting_text(const json& limiting) {
  const bool up = limiting.at("up").get<bool>();
  const bool down = limiting.at("down").get<bool>();
  return up && down ? "up, down" : up ? "up" : down ? "down" : "-";
}

std::string limit_rows(const json& limits) {
  std::vector<Row> rows{{"LIMIT", "WINDOW NOW", "UP", "DOWN", "LIMITING"}};
  for (const json& limit : limits)
    rows.push_back({limit_owner(limit), text_of(limit, "window"), rate_text(limit, "up_bits_per_s"),
                    rate_text(limit, "down_bits_per_s"), limiting_text(limit.at("limiting"))});
  return table(rows);
}

json to_json(const StreamStatus& stream) {
  return {{"id", stream.id},
          {"forward", stream.forward},
          {"source", stream.source},
          {"state", stream.state},
          {"opened_at", stream.opened_at},
          {"sent_bytes", stream.sent_bytes},
          {"received_bytes", stream.received_bytes}};
}

}  // namespace

std::string_view state_name(SessionState state) {
  switch (state) {
    case SessionState::Connecting:
      return "connecting";
    case SessionState::Up:
      return "up";
    case SessionState::Stalled:
      return "stalled";
    case SessionState::Down:
      return "down";
  }
  return "down";
}

std::string_view state_name(ForwardState state) {
  switch (state) {
    case ForwardState::Listening:
      return "listening";
    case ForwardState::Closed:
      return "closed";
    case ForwardState::Failed:
      return "failed";
  }
  return "failed";
}

json to_json(const std::vector<ForwardStatus>& forwards) {
  json list = json::array();
  for (const ForwardStatus& forward : forwards) list.push_back(to_json(forward));
  return list;
}

json to_json(const AgentStatus& status) {
  json lanes = json::array();
  for (const LaneStatus& lane : status.lanes) {
    lanes.push_back(to_json(lane));
  }
  json limits = json::array();
  for (const LimitStatus& limit : status.limits) limits.push_back(to_json(limit));
  json streams{{"open", status.streams.open},
               {"opened_total", status.streams.opened_total},
               {"reset_total", status.streams.reset_total}};
  if (status.stream_list) {
    streams["list"] = json::array();
    for (const StreamStatus& stream : *status.stream_list) streams["list"].push_back(to_json(stream));
  }
  json last_end;
  if (const auto& end = status.session.last_end)
    last_end = {{"reason", errc_name(end->reason)}, {"text", end->text}, {"at", end->at}};
  return {{"session",
           {{"state", state_name(status.session.state)},
            {"id", status.session.id},
            {"gateway", status.session.gateway},
            {"since", status.session.since},
            {"error", status.session.error},
            {"limited_by", status.session.limited_by},
            {"last_end", std::move(last_end)},
            {"draining", status.session.draining.empty() ? json(nullptr) : json(status.session.draining)}}},
          {"lanes", std::move(lanes)},
          {"forwards", to_json(status.forwards)},
          {"limits", std::move(limits)},
          {"streams", std::move(streams)},
          {"backlog_bytes", status.backlog_bytes},
          {"data_thread",
           {{"cpu_ms", milliseconds(status.data_thread.cpu)},
            {"wait_ms", milliseconds(status.data_thread.wait)},
            {"age_ms", milliseconds(status.data_thread.age)}}}};
}

std::string forwards_table(const json& forwards) {
  if (forwards.empty()) return "no forwards; `culvert-agent forward add TARGET` makes one\n";
  return rows_of(forwards, {"FORWARD", "PORT", "LISTEN", "STATE", "STREAMS", "WEIGHT", "ERROR"},
                 {"name", "port", "listen", "state", "streams", "weight", "error"});
}

std::string limits_table(const json& result) {
  if (result.at("limits").empty()) return "no limits; `culvert-agent limit set --up RATE` makes one\n";
  std::vector<Row> rows{{"LIMIT", "WINDOW (" + text_of(result, "time_zone") + ")", "UP", "DOWN", "NOW"}};
  for (const json& limit : result.at("limits")) {
    const json& now = limit.at("now").at("window");
    rows.push_back({limit_owner(limit), "-", rate_text(limit, "up_bits_per_s"),
                    rate_text(limit, "down_bits_per_s"), now.is_null() ? "now" : ""});
    for (const json& window : limit.at("windows"))
      rows.push_back({"", text_of(window, "window"), rate_text(window, "up_bits_per_s"),
                      rate_text(window, "down_bits_per_s"), now == window.at("window") ? "now" : ""});
  }
  return table(rows);
}

std::string status_table(const json& status) {
  const json& session = status.at("session");
  const json& streams = status.at("streams");
  std::string text =
      fmt::format("session  {}  since {}\n", text_of(session, "state"), text_of(session, "since"));
  text += fmt::format("gateway  {}  id {}\n", text_of(session, "gateway"), text_of(session, "id"));
  const std::string limited_by = text_of(session, "limited_by");
  if (limited_by != "-" && limited_by != "source")
    text += fmt::format("limit    {}\n", limit_text(limited_by));
  if (text_of(session, "error") != "-") text += fmt::format("error    {}\n", text_of(session, "error"));
  if (const std::string who = text_of(session, "draining"); who != "-")
    text +=
        fmt::format("drains   the {} is stopping: streams go on for a while, new ones are refused\n", who);
  if (session.contains("last_end") && session["last_end"].is_object()) {
    const json& end = session["last_end"];
    text += fmt::format("ended    the session before, at {}: {}\n", text_of(end, "at"), text_of(end, "text"));
  }
  text += fmt::format("streams  {} open, {} opened, {} reset\n", text_of(streams, "open"),
                      text_of(streams, "opened_total"), text_of(streams, "reset_total"));
  text += fmt::format("backlog  {} bytes\n\n", text_of(status, "backlog_bytes"));
  text += forwards_table(status.at("forwards"));
  if (!status.at("limits").empty()) text += "\n" + limit_rows(status.at("limits"));
  if (!status.at("lanes").empty()) {
    text += "\n" + rows_of(status.at("lanes"),
                           {"LANE", "STATE", "RTT_MS", "SENT_BYTES", "RECEIVED_BYTES", "CARRIER", "PROXY"},
                           {"id", "state", "rtt_ms", "sent_bytes", "received_bytes", "carrier", "proxy"});
  }
  if (streams.contains("list") && !streams["list"].empty()) {
    text +=
        "\n" + rows_of(streams["list"],
                       {"STREAM", "FORWARD", "SOURCE", "STATE", "OPENED_AT", "SENT_BYTES", "RECEIVED_BYTES"},
                       {"id", "forward", "source", "state", "opened_at", "sent_bytes", "received_bytes"});
  }
  return text;
}

}  // namespace culvert
