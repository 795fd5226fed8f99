#include "tunnel-agent/doctor/machine_check.hpp"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>

#include "certs/key_store.hpp"
#include "firewall-vib/depot_revision.hpp"
#include "tunnel-agent/certificate_watch.hpp"
#include "tunnel-agent/forward.hpp"
#include "tunnel-agent/listen_socket.hpp"
#include "tunnel-core/daemon/port_holder.hpp"

namespace culvert {

std::vector<Finding> conclude_certificate(const std::string& file, certs::UtcTime not_after,
                                          certs::UtcTime now) {
  const std::string evidence =
      fmt::format("{} ends at {}, now it is {}", file, certs::utc_text(not_after), certs::utc_text(now));
  if (now > not_after)
    return {{"site_certificate_expired", "this site's certificate has expired", evidence, kJoinAgain}};
  if (not_after - now >= kCertificateWarning) return {};
  return {{"certificate_ends_soon", "this site's certificate " + ends_text(not_after, now), evidence,
           kJoinAgain}};
}

std::vector<Finding> conclude_disk(const DiskFact& disk) {
  const bool no_room = disk.free_bytes < kLeastDiskBytes;
  const bool no_files = disk.free_files && *disk.free_files < kLeastDiskFiles;
  if (!no_room && !no_files) return {};
  return {{"disk_full", fmt::format("the file system of {} is full", disk.path),
           no_room ? fmt::format("{} KiB are free", disk.free_bytes >> 10)
                   : fmt::format("it has room for {} more files", *disk.free_files),
           "free space there, at least 4 MiB; running streams go on, but no forward can be added"}};
}

Finding conclude_forward(const std::string& name, Errc code, const std::string& error) {
  if (code == Errc::PortInUse) {
    return {"local_port_taken", fmt::format("the local port of forward {} is taken by another process", name),
            error, "stop that process, or remove the forward and add it with another port"};
  }
  return {"forward_failed", fmt::format("forward {} cannot work", name), error,
          fmt::format("mend what the reason names, or remove the forward (culvert-agent forward remove {})",
                      name)};
}

std::vector<Finding> conclude_depot(const DepotFact& depot) {
  if (depot.error.empty()) return {};
  const bool taken = depot.error.find("is in use by") != std::string::npos;
  return {{"depot_down", "the depot, from which ESXi hosts fetch their firewall rules, cannot serve",
           depot.error,
           "do what the reason names, or, where no ESXi host needs it, set [depot] enabled = false in "
           "agent.toml; "
           "replication goes on without it",
           taken && depot.port == kUsualDepotPort}};
}

std::vector<Finding> check_identity(const AgentConfig& config, certs::UtcTime now) {
  const auto unusable = [](const Error& error) {
    return std::vector<Finding>{{"identity_unusable", "this site's certificate and key cannot be used",
                                 error.text(), std::string{"do what the reason names, or "} + kJoinAgain}};
  };
  const auto chain = certs::load_chain(config.certificate_file);
  if (!chain) return unusable(chain.error());
  const auto key = certs::load_key(config.key_file);
  if (!key) return unusable(key.error());
  if (!chain->front().matches(*key)) {
    return unusable(Error{Errc::KeyInvalid, config.key_file.string() + " is not the key of " +
                                                config.certificate_file.string()});
  }
  return conclude_certificate(config.certificate_file.string(), chain->front().not_after(), now);
}

std::vector<Finding> check_disk(const AgentConfig& config) {
  struct statvfs state {};
  if (::statvfs(config.data_dir.c_str(), &state) != 0) {
    return {{"data_dir_unusable",
             fmt::format("the data directory {} cannot be used", config.data_dir.string()),
             std::strerror(errno), "check data_dir in agent.toml"}};
  }
  DiskFact disk{config.data_dir.string(), std::uint64_t{state.f_bavail} * state.f_frsize, {}};
  if (state.f_files != 0) disk.free_files = state.f_favail;
  return conclude_disk(disk);
}

std::vector<Finding> check_forward_ports(const AgentConfig& config) {
  const auto files = load_forwards(config.forwards_dir());
  if (!files) return {conclude_forward("files", files.error().code(), files.error().text())};
  std::vector<Finding> findings;
  for (const ForwardFile& file : *files) {
    if (!file.forward) {
      findings.push_back(
          conclude_forward(file.name, file.forward.error().code(), file.forward.error().text()));
    } else if (const auto opened = open_listen_sockets(*file.forward); !opened) {
      findings.push_back(conclude_forward(file.name, opened.error().code(), opened.error().text()));
    }
  }
  return findings;
}

DepotFact look_at_depot(const AgentConfig& config) {
  DepotFact depot{config.depot.listen.port, {}};
  if (!config.depot.enabled) return depot;
  if (const auto revision = firewall::revision_for(config.data_dir / "depot.json", {}); !revision) {
    depot.error = revision.error().text();
    return depot;
  }
  Forward as_forward;
  as_forward.port = depot.port;
  for (const std::string& text : config.depot.listen.bind) {
    if (const auto address = IpAddress::parse(text)) as_forward.bind.push_back(*address);
  }
  const auto opened = open_listen_sockets(as_forward);
  // A right that we lack here, the agent's service may have.
  if (opened || opened.error().code() == Errc::Forbidden) return depot;
  const std::string holder = port_holder(depot.port);
  depot.error =
      opened.error().code() != Errc::PortInUse
          ? opened.error().text()
          : fmt::format("port {} is in use by {}; stop it, or set another [depot] port in agent.toml",
                        depot.port, holder.empty() ? "another process" : holder);
  return depot;
}

}  // namespace culvert
