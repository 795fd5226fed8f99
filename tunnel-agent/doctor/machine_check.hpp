// What is wrong on this machine itself: identity, forwards and their ports, room on the disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "certs/utc_time.hpp"
#include "tunnel-agent/config.hpp"
#include "tunnel-agent/doctor/finding.hpp"
#include "tunnel-core/base/error.hpp"

namespace culvert {

constexpr std::uint64_t kLeastDiskBytes = 4 << 20;
constexpr std::uint64_t kLeastDiskFiles = 16;

/// @param not_after  of the site's certificate.
std::vector<Finding> conclude_certificate(const std::string& file, certs::UtcTime not_after,
                                          certs::UtcTime now);

struct DiskFact {
  std::string path;
  std::uint64_t free_bytes = 0;             ///< For users other than root.
  std::optional<std::uint64_t> free_files;  ///< Nothing where the file system does not count them.
};
std::vector<Finding> conclude_disk(const DiskFact& disk);

/// @param error  of a forward: why its port is not open or its file not readable.
Finding conclude_forward(const std::string& name, Errc code, const std::string& error);

constexpr std::uint16_t kUsualDepotPort = 80;

struct DepotFact {
  std::uint16_t port = kUsualDepotPort;
  std::string error;  ///< Why the depot does not serve; empty: it serves, could serve, or is off.
};
/// A note where another program has port 80, which nobody chose; else a fault.
std::vector<Finding> conclude_depot(const DepotFact& depot);

/// @param now  by which the certificate is judged: the gateway's time where this machine's clock is wrong.
std::vector<Finding> check_identity(const AgentConfig& config, certs::UtcTime now);
std::vector<Finding> check_disk(const AgentConfig& config);
/// Opens the port of every forward for a moment: only while no agent runs.
std::vector<Finding> check_forward_ports(const AgentConfig& config);
/// What would keep the depot from serving. Opens its port for a moment: only while no agent runs.
DepotFact look_at_depot(const AgentConfig& config);

}  // namespace culvert
