// Which ports of Backup Exec are to be checked, and from which end each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "firewall-vib/port_range.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

enum class BackupExecRole { MediaServer, RemoteServer };

constexpr unsigned kMostFixedPorts = 64;
constexpr unsigned kMostDataPorts = 128;
constexpr unsigned kLeastDataPorts = 25;
constexpr unsigned kDataPortsPerJob = 2;
constexpr const char* kBackupExecPorts = "10000,6101,3527,6106,10082,10102";
constexpr const char* kControlRow = "be-control";
constexpr const char* kDataRow = "be-data";

struct PlannedPort {
  std::uint16_t port = 0;
  std::string row;      ///< Of the catalogue; empty for a port that it does not have.
  std::string service;  ///< For people.
  BackupExecRole listens = BackupExecRole::RemoteServer;
  bool for_console = false;  ///< A remote administration console dials it, which may run at the other end.
};

struct PortPlan {
  std::vector<PlannedPort> ports;  ///< In rising order; each port once.
  firewall::PortRange data;        ///< The whole range; of it `ports` has at most kMostDataPorts.

  std::vector<std::uint16_t> numbers() const;
  std::vector<std::uint16_t> listened_by(BackupExecRole role) const;
};

/// At most `most` of its ports, evenly spread, the first and the last among them.
std::vector<std::uint16_t> spread_over(firewall::PortRange range, unsigned most);

/// @param ports  empty: kBackupExecPorts. @param data  "A-B"; empty: the range of the catalogue.
/// @error UsageInvalid: those of parse_ports(); too many fixed ports; a data range that is several.
Result<PortPlan> make_port_plan(const std::string& ports, const std::string& data);

/// Ports as ranges: "6101, 10000, 20000-20024".
std::string ports_text(const std::vector<std::uint16_t>& ports);
/// "media server", "remote server".
std::string role_text(BackupExecRole role);
BackupExecRole other_role(BackupExecRole role);

}  // namespace culvert
