#include "firewall-vib/vib_commands.hpp"

#include <fmt/format.h>

#include <chrono>
#include <ostream>

#include "firewall-vib/agent_ports.hpp"
#include "firewall-vib/depot_tree.hpp"
#include "firewall-vib/vib_print.hpp"
#include "tunnel-core/daemon/files.hpp"
#include "tunnel-core/daemon/json_text.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert::firewall {

namespace {

namespace fs = std::filesystem;

Result<PortRanges> chosen_ports(const CommandOptions& options) {
  if (!options.config.empty()) {
    auto agent = ports_of_agent(options.config);
    if (!agent) return std::move(agent).error();
    return std::move(agent->forwards);
  }
  return parse_ports(options.ports.empty() ? std::string{kDefaultPool} : options.ports);
}

Result<std::optional<VibSigner>> chosen_signer(const CommandOptions& options, std::ostream& err) {
  if (options.key.empty()) return std::optional<VibSigner>{};
  auto key = read_secret_file(options.key);
  if (!key) return std::move(key).error();
  auto certificates = read_input(options.certificate, "--certificate");
  if (!certificates) return std::move(certificates).error();
  auto signer = VibSigner::from_pem(*key, *certificates);
  if (!signer) return std::move(signer).error();
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (const auto warning = signer->out_of_time(now))
    err << "culvert-vib: warning: " << escape_controls(*warning) << "\n";
  return std::optional<VibSigner>{std::move(*signer)};
}

Result<VibReport> examined(const CommandOptions& options) {
  const auto bytes = read_vib_file(options.file);
  if (!bytes) return bytes.error();
  std::string roots;
  if (!options.trust.empty()) {
    auto read = read_input(options.trust, "--trust");
    if (!read) return std::move(read).error();
    if (read->empty())
      return Error{Errc::CertificateInvalid,
                   fmt::format("{} is empty; give a PEM file", options.trust.string())};
    roots = std::move(*read);
  }
  auto report = examine_vib(*bytes, roots);
  if (!report) return std::move(report).error().at("examine", options.file.string());
  return report;
}

}  // namespace

fs::path output_path(const fs::path& out, const std::string& own_name) {
  std::error_code failed;
  return fs::is_directory(out, failed) ? out / own_name : out;
}

Result<BuiltVib> described_vib(const CommandOptions& options, std::ostream& err) {
  auto ports = chosen_ports(options);
  if (!ports) return std::move(ports).error();
  const auto signer = chosen_signer(options, err);
  if (!signer) return signer.error();
  FirewallVib request;
  request.ports = std::move(*ports);
  request.version = options.vib_version.empty() ? vib_version(1) : options.vib_version;
  if (!options.release_date.empty()) request.release_date = options.release_date;
  request.acceptance_level = !options.acceptance_level.empty() ? options.acceptance_level
                             : signer->has_value()             ? "partner"
                                                               : "community";
  request.replaces = options.replaces;
  return build_vib(request, signer->has_value() ? &**signer : nullptr);
}

Result<void> build_vib_file(const CommandOptions& options, std::ostream& out, std::ostream& err) {
  const auto vib = described_vib(options, err);
  if (!vib) return vib.error();
  const fs::path path = output_path(options.out, vib->file_name());
  return write_out(path, vib->bytes, out);
}

Result<void> build_bundle(const CommandOptions& options, std::ostream& out, std::ostream& err) {
  const auto vib = described_vib(options, err);
  if (!vib) return vib.error();
  const auto bundle = offline_bundle(*vib);
  if (!bundle) return bundle.error();
  const fs::path path = output_path(options.out, std::string{kDepotBundle});
  return write_out(path, *bundle, out);
}

Result<void> build_depot(const CommandOptions& options, std::ostream& out, std::ostream& err) {
  const auto vib = described_vib(options, err);
  if (!vib) return vib.error();
  const auto files = online_depot(*vib);
  if (!files) return files.error();
  if (auto saved = save_depot(options.out, *files); !saved) return saved;
  out << (options.out / kDepotIndex).string() << "\n";
  return {};
}

Result<void> inspect_vib(const CommandOptions& options, std::ostream& out) {
  const auto report = examined(options);
  if (!report) return report.error();
  out << (options.json ? json_text(vib_json(*report)) : vib_text(*report));
  return {};
}

Result<void> verify_vib(const CommandOptions& options, std::ostream& out) {
  const auto report = examined(options);
  if (!report) return report.error();
  if (options.json) {
    out << json_text(nlohmann::ordered_json{{"id", report->descriptor.id()},
                                            {"healthy", !report->has_faults()},
                                            {"findings", vib_json(*report)["findings"]}});
  } else {
    out << findings_text(*report);
    if (!report->has_faults()) out << "healthy           " << report->descriptor.id() << "\n";
  }
  if (!report->has_faults()) return {};
  return Error{Errc::ReplyInvalid, fmt::format("{} has faults; see the list, and build or download it again",
                                               options.file.string())};
}

}  // namespace culvert::firewall
