#include "tunnel-agent/doctor_options.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tunnel-core/daemon/usage_error.hpp"

namespace culvert {

void declare_doctor(CLI::App& doctor, DoctorOptions& options) {
  doctor.add_flag("--json", options.json, "One JSON object on standard output");
  doctor
      .add_option("--backup-exec", options.backup_exec,
                  "Check Backup Exec's ports between this machine and HOST, where `doctor --listen` runs")
      ->type_name("HOST")
      ->check(not_empty());
  doctor.add_flag("--listen", options.listen,
                  "Be the other end of --backup-exec: hold its ports until a check is done");
  doctor
      .add_option("--ports", options.ports,
                  "Fixed ports, the same at both ends; without it 10000,6101,3527,6106,10082,10102")
      ->check(not_empty());
  doctor
      .add_option("--data-range", options.data_range,
                  "Dynamic range of the data connections, the same at both ends; without it 1024-65535")
      ->type_name("A-B")
      ->check(not_empty());
  doctor.add_option("--jobs", options.jobs, "Parallel jobs of Backup Exec: each needs 2 data ports")
      ->check(CLI::Range(1, 32767))
      ->type_name("N");
  doctor.add_option("--as", options.as, "What this machine is: media-server (without it) or remote-server")
      ->check(CLI::IsMember({"media-server", "remote-server"}))
      ->type_name("ROLE");
  doctor.add_option("--for", options.listen_for, "How long --listen waits for the other end; without it 600")
      ->check(CLI::Range(1, 86400))
      ->type_name("SECONDS");
}

void declare_explain(CLI::App& app, DoctorOptions& options) {
  CLI::App* explain = app.add_subcommand(
      "explain", "Say what an error of Backup Exec means that names a connection, and what to check");
  explain
      ->add_option("CODE", options.explained,
                   "Like 0xE0000F25 or V-79-57344-3877; without it all that are known")
      ->check(not_empty());
  explain->add_flag("--json", options.json, "One JSON object on standard output");
  explain->footer("Example:\n  culvert-agent explain 0xE0000F25");
}

Result<std::string> host_alone(const std::string& text) {
  const bool bracketed = text.starts_with('[');
  if (bracketed && text.size() > 2 && text.find(']') == text.size() - 1)
    return text.substr(1, text.size() - 2);
  // An IPv6 address has two colons at least.
  if (!bracketed && std::count(text.begin(), text.end(), ':') != 1) return text;
  return Error{
      Errc::UsageInvalid,
      fmt::format("--backup-exec '{}': give the host alone; the ports are Backup Exec's, see --ports "
                  "and --data-range",
                  text)};
}

Result<void> check_doctor_options(const DoctorOptions& options) {
  if (options.listen && !options.backup_exec.empty()) {
    return Error{Errc::UsageInvalid,
                 "--listen and --backup-exec are two ends of one check: run them on two machines"};
  }
  if (options.about_ports()) return {};
  const bool lost =
      !options.ports.empty() || !options.data_range.empty() || options.jobs != 1 || !options.as.empty();
  if (lost) {
    return Error{
        Errc::UsageInvalid,
        "--ports, --data-range, --jobs and --as belong to --backup-exec HOST or --listen; name one of them"};
  }
  return {};
}

}  // namespace culvert
