#include "tunnel-agent/doctor/port_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "firewall-vib/port_catalogue.hpp"

namespace culvert {

using firewall::PortRange;
using firewall::PortRanges;

namespace {

constexpr std::size_t kMostRangesShown = 12;
constexpr const char* kConsole = "admin-console";  // A role of the catalogue.

PlannedPort describe(std::uint16_t port) {
  for (const firewall::PortRow& row : firewall::PortCatalogue::built_in().rows()) {
    if (row.product != "backup-exec" || row.changeable.find("netsh") != std::string::npos) continue;
    const bool names_it = std::any_of(row.ports.begin(), row.ports.end(), [port](const PortRange& range) {
      return range.first <= port && port <= range.last;
    });
    if (!names_it || row.id == kDataRow) continue;
    return {port, row.id, row.service,
            row.target == "media-server" ? BackupExecRole::MediaServer : BackupExecRole::RemoteServer,
            row.source == kConsole};
  }
  return {port, {}, "not in the catalogue", BackupExecRole::RemoteServer};
}

/// The control port may have been moved: then it is not among the fixed ports, and the one port there that
/// the catalogue does not know is where it went.
void find_moved_control(std::map<std::uint16_t, PlannedPort>& planned) {
  PlannedPort* unknown = nullptr;
  for (auto& [port, entry] : planned) {
    if (entry.row == kControlRow) return;
    if (!entry.row.empty()) continue;
    if (unknown != nullptr) return;
    unknown = &entry;
  }
  if (unknown == nullptr) return;
  const firewall::PortRow& control = *firewall::PortCatalogue::built_in().find(kControlRow);
  *unknown = {unknown->port, kControlRow,
              fmt::format("{}, moved from {}", control.service, firewall::ports_text(control.ports)),
              BackupExecRole::RemoteServer};
}

Result<PortRange> data_range(const std::string& text) {
  if (text.empty()) return firewall::PortCatalogue::built_in().find(kDataRow)->ports.front();
  auto ranges = firewall::parse_ports(text);
  if (!ranges) return std::move(ranges).error().at("read --data-range");
  if (ranges->size() != 1) {
    return Error{Errc::UsageInvalid,
                 fmt::format("--data-range '{}' is not one range; write it like 20000-20100", text)};
  }
  return ranges->front();
}

}  // namespace

std::vector<std::uint16_t> spread_over(PortRange range, unsigned most) {
  const unsigned count = std::min(range.size(), most);
  std::vector<std::uint16_t> ports;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned step = count == 1 ? 0 : i * (range.size() - 1) / (count - 1);
    ports.push_back(static_cast<std::uint16_t>(range.first + step));
  }
  return ports;
}

Result<PortPlan> make_port_plan(const std::string& ports, const std::string& data) {
  auto fixed = firewall::parse_ports(ports.empty() ? kBackupExecPorts : ports);
  if (!fixed) return std::move(fixed).error().at("read --ports");
  if (const unsigned count = firewall::count_ports(*fixed); count > kMostFixedPorts) {
    return Error{Errc::UsageInvalid,
                 fmt::format("--ports names {} ports, at most {} can be checked; give the data "
                             "connections' range with --data-range",
                             count, kMostFixedPorts)};
  }
  const auto range = data_range(data);
  if (!range) return range.error();
  std::map<std::uint16_t, PlannedPort> planned;
  const std::string service{"data connections"};
  for (const std::uint16_t port : spread_over(*range, kMostDataPorts))
    planned[port] = {port, kDataRow, service, BackupExecRole::RemoteServer};
  for (const PortRange& part : *fixed) {
    for (unsigned port = part.first; port <= part.last; ++port)
      planned[static_cast<std::uint16_t>(port)] = describe(static_cast<std::uint16_t>(port));
  }
  find_moved_control(planned);
  PortPlan plan;
  plan.data = *range;
  for (auto& [port, entry] : planned) plan.ports.push_back(std::move(entry));
  return plan;
}

std::vector<std::uint16_t> PortPlan::numbers() const {
  std::vector<std::uint16_t> all;
  for (const PlannedPort& entry : ports) all.push_back(entry.port);
  return all;
}

std::vector<std::uint16_t> PortPlan::listened_by(BackupExecRole role) const {
  std::vector<std::uint16_t> theirs;
  for (const PlannedPort& entry : ports) {
    if (entry.listens == role) theirs.push_back(entry.port);
  }
  return theirs;
}

std::string ports_text(const std::vector<std::uint16_t>& ports) {
  PortRanges ranges;
  for (const std::uint16_t port : ports) ranges.push_back({port, port});
  ranges = firewall::merge_ports(std::move(ranges));
  if (ranges.size() <= kMostRangesShown) return firewall::ports_text(ranges);
  const PortRanges first{ranges.begin(), ranges.begin() + kMostRangesShown / 2};
  return fmt::format("{} … {} ({} ports)", firewall::ports_text(first), ranges.back().to_text(),
                     ports.size());
}

std::string role_text(BackupExecRole role) {
  return role == BackupExecRole::MediaServer ? "media server" : "remote server";
}

BackupExecRole other_role(BackupExecRole role) {
  return role == BackupExecRole::MediaServer ? BackupExecRole::RemoteServer : BackupExecRole::MediaServer;
}

}  // namespace culvert
