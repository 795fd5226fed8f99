#include "firewall-vib/descriptor.hpp"

#include <fmt/format.h>

#include <chrono>
#include <pugixml.hpp>
#include <regex>

#include "firewall-vib/xml_text.hpp"

namespace culvert::firewall {

namespace {

void add_flag(pugi::xml_node parent, const char* name, bool value) {
  add_text(parent, name, value ? "true" : "false");
}

void add_relationships(pugi::xml_node vib, const Descriptor& descriptor) {
  pugi::xml_node relationships = vib.append_child("relationships");
  for (const char* kind : {"depends", "conflicts"}) relationships.append_child(kind);
  pugi::xml_node replaces = relationships.append_child("replaces");
  for (const Constraint& constraint : descriptor.replaces) {
    pugi::xml_node node = replaces.append_child("constraint");
    node.append_attribute("name") = constraint.name.c_str();
    if (constraint.relation.empty()) continue;
    node.append_attribute("relation") = constraint.relation.c_str();
    node.append_attribute("version") = constraint.version.c_str();
  }
  for (const char* kind : {"provides", "compatibleWith"}) relationships.append_child(kind);
}

void add_place(pugi::xml_node vib, const DepotPlace& place) {
  add_text(vib, "relative-path", place.relative_path);
  add_text(vib, "packed-size", std::to_string(place.packed_size));
  add_text(vib, "checksum", place.sha256).append_attribute("checksum-type") = "sha-256";
}

void add_payloads(pugi::xml_node vib, const std::vector<Payload>& payloads) {
  pugi::xml_node list = vib.append_child("payloads");
  for (const Payload& payload : payloads) {
    pugi::xml_node node = list.append_child("payload");
    node.append_attribute("name") = payload.name.c_str();
    node.append_attribute("type") = payload.type.c_str();
    node.append_attribute("size") = std::to_string(payload.size).c_str();
    for (const Checksum& checksum : payload.checksums) {
      pugi::xml_node sum = add_text(node, "checksum", checksum.value);
      sum.append_attribute("checksum-type") = checksum.type.c_str();
      if (!checksum.verify_process.empty())
        sum.append_attribute("verify-process") = checksum.verify_process.c_str();
    }
  }
}

}  // namespace

bool is_vib_name(std::string_view text) {
  constexpr std::string_view kSigns = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return !text.empty() && text.size() <= 60 && text.find_first_not_of(kSigns) == std::string_view::npos;
}

bool is_payload_name(std::string_view text) {
  constexpr std::string_view kSigns = "abcdefghijklmnopqrstuvwxyz0123456789-_";
  return !text.empty() && text.size() <= 8 && text.find_first_not_of(kSigns) == std::string_view::npos;
}

bool is_date(std::string_view text, bool offset_required) {
  static const std::regex kDate{
      R"((\d{4})-(\d\d)-(\d\d)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(Z|[+-](?:0\d|1[0-4]):[0-5]\d)?)"};
  std::cmatch parts;
  if (text.size() > 40 || !std::regex_match(text.data(), text.data() + text.size(), parts, kDate))
    return false;
  const auto number = [&](std::size_t part) { return std::stoi(parts[part].str()); };
  const std::chrono::year_month_day day{std::chrono::year{number(1)},
                                        std::chrono::month{static_cast<unsigned>(number(2))},
                                        std::chrono::day{static_cast<unsigned>(number(3))}};
  return day.ok() && (!offset_required || (parts[4].matched && parts[4] != "Z"));
}

std::string Descriptor::id() const {
  return fmt::format("{}_{}_{}_{}", vendor, type, name, version);
}

std::string descriptor_xml(const Descriptor& descriptor, const DepotPlace* place) {
  pugi::xml_document document;
  pugi::xml_node vib = document.append_child("vib");
  vib.append_attribute("version") = "5.0";
  add_text(vib, "type", descriptor.type);
  add_text(vib, "name", descriptor.name);
  add_text(vib, "version", descriptor.version);
  add_text(vib, "vendor", descriptor.vendor);
  add_text(vib, "summary", descriptor.summary);
  add_text(vib, "description", descriptor.description);
  add_text(vib, "release-date", descriptor.release_date);
  vib.append_child("urls");
  add_relationships(vib, descriptor);
  pugi::xml_node tags = vib.append_child("software-tags");
  for (const std::string& tag : descriptor.tags) add_text(tags, "tag", tag);
  if (place != nullptr) add_place(vib, *place);
  add_flag(vib.append_child("system-requires"), "maintenance-mode", descriptor.maintenance_mode);
  pugi::xml_node files = vib.append_child("file-list");
  for (const std::string& file : descriptor.files) add_text(files, "file", file);
  add_text(vib, "acceptance-level", descriptor.acceptance_level);
  add_flag(vib, "live-install-allowed", descriptor.live_install_allowed);
  add_flag(vib, "live-remove-allowed", descriptor.live_remove_allowed);
  add_flag(vib, "cimom-restart", descriptor.cimom_restart);
  add_flag(vib, "stateless-ready", descriptor.stateless_ready);
  add_flag(vib, "overlay", descriptor.overlay);
  add_payloads(vib, descriptor.payloads);
  return xml_text(document, XmlStyle::OneLine);
}

}  // namespace culvert::firewall
