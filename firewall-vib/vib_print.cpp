#include "firewall-vib/vib_print.hpp"

#include <fmt/format.h>

#include "tunnel-core/obs/log_line.hpp"

namespace culvert::firewall {

namespace {

using Json = nlohmann::ordered_json;

const char* weight_name(Finding::Weight weight) {
  return weight == Finding::Weight::Fault ? "fault" : "warning";
}

Json payload_json(const PayloadReport& payload) {
  Json sums = Json::array();
  for (const Checksum& sum : payload.described.checksums) {
    sums.push_back({{"type", sum.type},
                    {"verify_process", sum.verify_process.empty() ? Json{} : Json(sum.verify_process)},
                    {"value", sum.value}});
  }
  Json files = Json::array();
  for (const TarEntry& entry : payload.entries) {
    if (entry.kind == TarEntry::Kind::Directory) continue;
    files.push_back(
        {{"path", entry.path}, {"mode", fmt::format("{:04o}", entry.mode)}, {"size_bytes", entry.size}});
  }
  return {{"name", payload.described.name},
          {"type", payload.described.type},
          {"present", payload.present},
          {"size_bytes", payload.described.size},
          {"unpacked_bytes", payload.unpacked_size},
          {"checksums", std::move(sums)},
          {"files", std::move(files)}};
}

Json ruleset_json(const Ruleset& ruleset) {
  Json rules = Json::array();
  for (const RulesetRule& rule : ruleset.rules) {
    rules.push_back({{"direction", rule.direction},
                     {"protocol", rule.protocol},
                     {"port_type", rule.port_type},
                     {"first", rule.ports.first},
                     {"last", rule.ports.last}});
  }
  return {{"id", ruleset.id},
          {"enabled", ruleset.enabled},
          {"required", ruleset.required},
          {"rules", std::move(rules)}};
}

std::string line(std::string_view name, std::string_view value) {
  return fmt::format("{:<18}{}\n", name, escape_controls(value));
}

}  // namespace

Json vib_json(const VibReport& report) {
  const Descriptor& vib = report.descriptor;
  Json payloads = Json::array();
  for (const PayloadReport& payload : report.payloads) payloads.push_back(payload_json(payload));
  Json rulesets = Json::array();
  for (const Ruleset& ruleset : report.rulesets) rulesets.push_back(ruleset_json(ruleset));
  Json findings = Json::array();
  for (const Finding& finding : report.findings)
    findings.push_back({{"weight", weight_name(finding.weight)}, {"text", finding.text}});
  Json signature;
  if (report.signature) {
    signature = {{"signer", report.signature->signer},
                 {"digest", report.signature->digest},
                 {"chain_checked", report.signature->chain_checked}};
  }
  return {{"id", vib.id()},
          {"name", vib.name},
          {"version", vib.version},
          {"vendor", vib.vendor},
          {"summary", vib.summary},
          {"release_date", vib.release_date},
          {"acceptance_level", vib.acceptance_level},
          {"maintenance_mode", vib.maintenance_mode},
          {"live_install_allowed", vib.live_install_allowed},
          {"live_remove_allowed", vib.live_remove_allowed},
          {"files", vib.files},
          {"signed", report.is_signed},
          {"signature", std::move(signature)},
          {"payloads", std::move(payloads)},
          {"rulesets", std::move(rulesets)},
          {"findings", std::move(findings)}};
}

std::string vib_text(const VibReport& report) {
  const Descriptor& vib = report.descriptor;
  std::string text = line("id", vib.id());
  text += line("summary", vib.summary);
  text += line("released", vib.release_date);
  text += line("acceptance level", vib.acceptance_level);
  text += line("signature", report.signature
                                ? "by " + report.signature->signer +
                                      (report.signature->chain_checked ? "" : " (not checked who that is)")
                            : report.is_signed ? "does not hold"
                                               : "none");
  text += line("live install", vib.live_install_allowed ? "yes" : "no");
  for (const PayloadReport& payload : report.payloads) {
    text +=
        line("payload", fmt::format("{} ({}, {} bytes, {} unpacked)", payload.described.name,
                                    payload.described.type, payload.described.size, payload.unpacked_size));
    for (const TarEntry& entry : payload.entries) {
      if (entry.kind != TarEntry::Kind::Directory)
        text += line("  file", fmt::format("{} ({:04o}, {} bytes)", entry.path, entry.mode, entry.size));
    }
  }
  for (const Ruleset& ruleset : report.rulesets) {
    text += line("ruleset", fmt::format("{} ({}{})", ruleset.id, ruleset.enabled ? "enabled" : "disabled",
                                        ruleset.required ? ", required" : ""));
    for (const RulesetRule& rule : ruleset.rules) {
      text += line("  rule", fmt::format("{} {} {} {}", rule.direction, rule.protocol, rule.port_type,
                                         rule.ports.to_text()));
    }
  }
  return text + findings_text(report);
}

std::string findings_text(const VibReport& report) {
  std::string text;
  for (const Finding& finding : report.findings) text += line(weight_name(finding.weight), finding.text);
  return text;
}

}  // namespace culvert::firewall
