#include "firewall-vib/commands.hpp"

#include <fmt/format.h>

#include <ostream>

#include "firewall-vib/agent_ports.hpp"
#include "firewall-vib/catalogue_print.hpp"
#include "firewall-vib/firewall_rules.hpp"
#include "tunnel-core/daemon/files.hpp"
#include "tunnel-core/daemon/result_file.hpp"

namespace culvert::firewall {

namespace {

constexpr std::size_t kMaxCatalogueFile = 1 << 20;

Result<PortCatalogue> whole_catalogue(const CommandOptions& options) {
  if (options.catalogue.empty()) return PortCatalogue::built_in();
  auto text = read_input(options.catalogue, "--catalogue");
  if (!text) return std::move(text).error();
  if (text->size() > kMaxCatalogueFile) {
    return Error{Errc::ConfigInvalid,
                 fmt::format("{} is larger than any catalogue (1 MiB)", options.catalogue.string())};
  }
  return PortCatalogue::parse(*text, options.catalogue.string());
}

/// Rows that the chosen product or another catalogue lacks are left alone.
Result<void> set_agent_ports(PortCatalogue& catalogue, const std::filesystem::path& config) {
  const auto agent = ports_of_agent(config);
  if (!agent) return agent.error();
  PortRanges depot;
  if (agent->depot) depot.push_back({*agent->depot, *agent->depot});
  for (const auto& [row, ports] :
       {std::pair{kAgentPortsRow, agent->forwards}, std::pair{kAgentDepotRow, depot},
        std::pair{kGatewayRow, PortRanges{{agent->gateway, agent->gateway}}}}) {
    if (catalogue.find(row) == nullptr) continue;
    if (auto done = catalogue.set_ports(row, ports); !done) return done;
  }
  return {};
}

}  // namespace

Result<PortCatalogue> chosen_catalogue(const CommandOptions& options) {
  auto catalogue = whole_catalogue(options);
  if (!catalogue) return std::move(catalogue).error();
  for (const std::string& set : options.set) {
    const std::size_t equals = set.find('=');
    if (equals == std::string::npos) {
      return Error{Errc::UsageInvalid,
                   fmt::format("--set {} lacks its ports; write --set be-data=20000-20100", set)};
    }
    auto ports = parse_ports(std::string_view{set}.substr(equals + 1));
    if (!ports) return std::move(ports).error().at("read --set", set);
    if (auto done = catalogue->set_ports(set.substr(0, equals), std::move(*ports)); !done)
      return std::move(done).error();
  }
  if (!options.set.empty()) {
    if (auto fit = catalogue->check_overlaps(); !fit) return std::move(fit).error();
  }
  return catalogue->select(options.product, options.role);
}

Result<void> make_rules(const CommandOptions& options, std::ostream& out) {
  CommandOptions rows = options;
  rows.role.clear();  // rules_for() knows more about it.
  auto catalogue = chosen_catalogue(rows);
  if (!catalogue) return std::move(catalogue).error();
  if (!options.config.empty()) {
    if (auto done = set_agent_ports(*catalogue, options.config); !done) return done;
  }
  const auto rules = rules_for(*catalogue, options.role);
  if (!rules) return rules.error();
  const auto text = render_rules(*rules, options.form);
  if (!text) return text.error();
  if (options.out.empty()) {
    out << *text;
    return {};
  }
  return write_out(options.out, *text, out);
}

Result<std::string> read_input(const std::filesystem::path& path, const char* option) {
  auto text = read_file(path);
  if (text || text.error().code() != Errc::NotFound) return text;
  return Error{Errc::NotFound,
               fmt::format("{} does not exist; name a file that does with {}", path.string(), option)};
}

Result<void> write_out(const std::filesystem::path& path, std::string_view content, std::ostream& out) {
  if (auto written = write_result(path, content); !written) return written;
  std::error_code failed;
  if (std::filesystem::is_regular_file(path, failed)) out << path.string() << "\n";
  return {};
}

Result<void> show_ports(const CommandOptions& options, std::ostream& out) {
  const auto catalogue = chosen_catalogue(options);
  if (!catalogue) return catalogue.error();
  if (options.json) {
    out << catalogue_json(*catalogue).dump(2) << "\n";
  } else if (options.markdown) {
    out << catalogue_markdown(*catalogue);
  } else if (options.csv) {
    out << catalogue_csv(*catalogue);
  } else {
    out << catalogue_text(*catalogue);
  }
  return {};
}

}  // namespace culvert::firewall
