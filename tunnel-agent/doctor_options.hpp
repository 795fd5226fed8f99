// What `culvert-agent doctor` and `explain` were asked, and how that looks on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "tunnel-core/base/result.hpp"

namespace culvert {

struct DoctorOptions {
  bool json = false;
  std::string backup_exec;  ///< The other end's name or address; empty: not asked for.
  bool listen = false;
  std::string ports;
  std::string data_range;
  unsigned jobs = 1;          ///< Parallel jobs of Backup Exec.
  std::string as;             ///< "media-server" or "remote-server": this machine. Empty: media-server.
  unsigned listen_for = 600;  ///< Seconds.
  std::string explained;      ///< Of `explain`.

  /// About Backup Exec's ports, for which no agent has to be joined here.
  bool about_ports() const { return listen || !backup_exec.empty(); }
};

/// The options of `doctor` beside --config, and the command `explain`.
void declare_doctor(CLI::App& doctor, DoctorOptions& options);
void declare_explain(CLI::App& app, DoctorOptions& options);

/// --backup-exec as a resolver takes it: an IPv6 address may stand in brackets.
/// @error UsageInvalid: a port behind it, which would be looked up as part of the name.
Result<std::string> host_alone(const std::string& text);

/// @error UsageInvalid: options that do not go together.
Result<void> check_doctor_options(const DoctorOptions& options);

}  // namespace culvert
