#include "tunnel-agent/firewall_depot.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <regex>

#include "firewall-vib/depot_revision.hpp"
#include "firewall-vib/depot_tree.hpp"
#include "firewall-vib/install_guide.hpp"
#include "firewall-vib/ruleset.hpp"
#include "tunnel-agent/forward.hpp"
#include "tunnel-agent/network.hpp"

namespace culvert {

namespace fw = firewall;
using nlohmann::json;

namespace {

struct AgentPorts {
  fw::PortRanges forwards;
  fw::PortRanges all;
};

/// A forward whose file is broken has no port; `forward list` shows what is wrong with it.
Result<AgentPorts> ports_of(const AgentConfig& config) {
  const auto files = load_forwards(config.forwards_dir());
  if (!files) return files.error();
  AgentPorts ports;
  for (const ForwardFile& file : *files) {
    if (file.forward) ports.forwards.push_back({file.forward->port, file.forward->port});
  }
  ports.forwards = fw::merge_ports(std::move(ports.forwards));
  ports.all = ports.forwards;
  ports.all.push_back({config.port_pool.first, config.port_pool.last});
  ports.all = fw::merge_ports(std::move(ports.all));
  return ports;
}

std::filesystem::path revision_file(const AgentConfig& config) {
  return config.data_dir / "depot.json";
}

fw::FirewallVib vib_for(const fw::PortRanges& ports, unsigned revision) {
  fw::FirewallVib request;
  request.ports = ports;
  request.version = fw::vib_version(revision);
  return request;
}

std::string own_name() {
  char name[256] = "";
  if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "AGENT";
  return name;
}

json depot_json(const AgentConfig& config, const fw::DepotState* state, const std::string& error) {
  json depot{{"enabled", config.depot.enabled}, {"port", config.depot.listen.port}, {"error", error}};
  if (!config.depot.enabled) {
    depot["state"] = "off";
  } else if (state == nullptr) {
    depot["state"] = error.empty() ? "stopped" : "failed";
  } else {
    depot["state"] = state->serving ? "serving" : "failed";
    if (error.empty()) depot["error"] = state->error;
  }
  return depot;
}

/// It stands in commands that are pasted into a shell: an address, or a name of labels of letters, digits,
/// - and _.
bool is_host(const std::string& text) {
  if (IpAddress::parse(text)) return true;
  static const std::regex kName{
      R"([0-9A-Za-z_]([0-9A-Za-z_-]*[0-9A-Za-z_])?(\.[0-9A-Za-z_]([0-9A-Za-z_-]*[0-9A-Za-z_])?)*\.?)"};
  return text.size() <= 253 && std::regex_match(text, kName);
}

Result<json> build_report(const AgentConfig& config, const std::string& host, json depot) {
  if (!host.empty() && !is_host(host)) {
    return Error{Errc::UsageInvalid,
                 fmt::format("'{}' is no name or address of this machine", host.substr(0, 60))};
  }
  const auto ports = ports_of(config);
  if (!ports) return ports.error();
  // Kept, as whoever reads it may build this VIB by hand: no other content may have this version.
  const auto revision = fw::keep_revision(revision_file(config), ports->all);
  if (!revision) return revision.error();
  const auto vib = fw::build_vib(vib_for(ports->all, *revision), nullptr);
  if (!vib) return vib.error();
  const auto guide =
      fw::install_guide({host.empty() ? own_name() : host, config.depot.listen.port, config.depot.enabled,
                         ports->all, ports->forwards, vib->descriptor.version});
  json ranges = json::array();
  for (const fw::PortRange& range : ports->all)
    ranges.push_back({{"first", range.first}, {"last", range.last}});
  return json{{"ports", std::move(ranges)},
              {"vib",
               {{"id", vib->id()},
                {"name", vib->descriptor.name},
                {"version", vib->descriptor.version},
                {"ruleset", fw::kRulesetId},
                {"needed", guide.vib_needed}}},
              {"depot", std::move(depot)},
              {"urls", {{"vib", guide.vib_url}, {"bundle", guide.bundle_url}, {"index", guide.depot_url}}},
              {"commands",
               {{"download", guide.download},
                {"install", guide.install},
                {"check", guide.check},
                {"remove", guide.remove}}},
              {"without_vib", guide.without_vib}};
}

std::string section(const std::string& title, const json& lines) {
  std::string text = "\n" + title + "\n";
  for (const json& line : lines) text += "  " + line.get<std::string>() + "\n";
  return text;
}

}  // namespace

void FirewallDepot::update() {
  const auto ports = ports_of(config_);
  const std::lock_guard guard{mutex_};
  if (ports && ports->all == served_) return;
  const auto done = ports ? rebuild(ports->all) : Result<void>{ports.error()};
  error_ = done ? "" : done.error().text();
  if (!done) spdlog::warn("depot not brought up to date: {}", error_);
}

Result<void> FirewallDepot::rebuild(const fw::PortRanges& ports) {
  const auto revision = fw::keep_revision(revision_file(config_), ports);
  if (!revision) return revision.error();
  if (!config_.depot.enabled) {
    served_ = ports;
    return {};
  }
  const auto vib = fw::build_vib(vib_for(ports, *revision), nullptr);
  if (!vib) return vib.error();
  auto files = fw::online_depot(*vib);
  if (!files) return std::move(files).error();
  if (server_ == nullptr) {
    server_ = std::make_unique<fw::DepotServer>(config_.depot.listen, std::move(*files));
  } else {
    server_->replace(std::move(*files));
  }
  served_ = ports;
  return {};
}

Result<json> FirewallDepot::report(const std::string& host) {
  json depot;
  {
    const std::lock_guard guard{mutex_};
    const auto state = server_ == nullptr ? std::nullopt : std::optional{server_->state()};
    depot = depot_json(config_, state ? &*state : nullptr, error_);
  }
  return build_report(config_, host, std::move(depot));
}

Result<json> firewall_report(const AgentConfig& config, const std::string& host) {
  return build_report(config, host, depot_json(config, nullptr, ""));
}

std::string firewall_text(const json& report) {
  const json& vib = report.at("vib");
  const json& depot = report.at("depot");
  std::string ports;
  for (const json& range : report.at("ports")) {
    const fw::PortRange each{range.at("first").get<std::uint16_t>(), range.at("last").get<std::uint16_t>()};
    ports += (ports.empty() ? "" : ", ") + each.to_text();
  }
  const std::string state = depot.at("state").get<std::string>();
  const std::string error = depot.at("error").get<std::string>();
  std::string text =
      fmt::format("ports  {}\nvib    {}\ndepot  {} on port {}{}\n", ports, vib.at("id").get<std::string>(),
                  state, depot.at("port").get<int>(), error.empty() ? "" : ": " + error);
  if (!vib.at("needed").get<bool>()) {
    text += "\nEvery forward is on a port that ESXi's own ruleset HBR lets out: no VIB is needed.\n";
  }
  const json& commands = report.at("commands");
  text += section("Download, on the ESXi host:", commands.at("download"));
  text += section("Install, on the ESXi host:", commands.at("install"));
  text += section("Check, on the ESXi host:", commands.at("check"));
  text += section("Remove, on the ESXi host:", commands.at("remove"));
  text += section(
      "Without a VIB, where UEFI Secure Boot or policy forbids CommunitySupported: forwards on ports that "
      "ESXi's own\n"
      "ruleset HBR lets out, at most one for each; on the agent:",
      report.at("without_vib"));
  return text;
}

}  // namespace culvert
