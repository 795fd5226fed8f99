// Reading a descriptor that anybody may have written: what is wrong is collected, not thrown away at the
// first fault.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <iterator>
#include <pugixml.hpp>
#include <regex>

#include "firewall-vib/descriptor.hpp"
#include "firewall-vib/xml_text.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert::firewall {

namespace {

/// The elements in the order in which hosts and tools expect them.
constexpr std::array<std::string_view, 19> kOrder{"type",
                                                  "name",
                                                  "version",
                                                  "vendor",
                                                  "summary",
                                                  "description",
                                                  "release-date",
                                                  "urls",
                                                  "relationships",
                                                  "software-tags",
                                                  "system-requires",
                                                  "file-list",
                                                  "acceptance-level",
                                                  "live-install-allowed",
                                                  "live-remove-allowed",
                                                  "cimom-restart",
                                                  "stateless-ready",
                                                  "overlay",
                                                  "payloads"};

/// "8", "8.0", "8.*": the lines of ESXi that a VIB is for.
bool is_platform_version(std::string_view text) {
  static const std::regex kVersion{R"(\d{1,5}(\.(\d{1,5}|\*)){0,3})"};
  return text.size() <= 30 && std::regex_match(text.begin(), text.end(), kVersion);
}

/// XML is text in UTF-8, and of the control characters only these three. The parser here takes anything.
bool is_text(std::string_view xml) {
  std::string plain;
  std::copy_if(xml.begin(), xml.end(), std::back_inserter(plain),
               [](char c) { return c != '\n' && c != '\r' && c != '\t'; });
  return escape_controls(plain) == plain;
}

class DescriptorReader {
 public:
  Result<ReadDescriptor> read(std::string_view xml) {
    if (xml.size() > kMaxDescriptor) {
      return Error{Errc::ReplyInvalid,
                   fmt::format("descriptor.xml is larger than {} MiB", kMaxDescriptor >> 20)};
    }
    pugi::xml_document document;
    const auto parsed = document.load_buffer(xml.data(), xml.size(), kParseWhole);
    if (!parsed) {
      return Error{Errc::ReplyInvalid, fmt::format("descriptor.xml is no XML: {} at byte {}",
                                                   parsed.description(), parsed.offset)};
    }
    vib_ = document.child("vib");
    if (!vib_) return Error{Errc::ReplyInvalid, "descriptor.xml has no vib element"};
    if (only_root(document) != vib_) fault("has something beside its vib element; hosts refuse such XML");
    if (std::string_view{vib_.attribute("version").value()} != "5.0") {
      fault(
          fmt::format("has the version '{}'; hosts know 5.0", shown_xml(vib_.attribute("version").value())));
    }
    if (!is_text(xml)) fault("holds bytes that are no UTF-8 text; hosts refuse such XML");
    check_order();
    check_all_there();
    read_texts();
    check_texts();
    check_relationships();
    check_requirements();
    read_lists();
    for (const pugi::xml_node payload : vib_.child("payloads").children("payload")) read_payload(payload);
    if (out_.payloads.empty()) fault("has no payload");
    return ReadDescriptor{std::move(out_), std::move(faults_), std::move(warnings_)};
  }

 private:
  void fault(std::string text) {
    if (faults_.size() < kMaxFaults) faults_.push_back("descriptor.xml " + std::move(text));
  }

  void warn(std::string text) {
    if (warnings_.size() < kMaxFaults) warnings_.push_back("descriptor.xml " + std::move(text));
  }

  void check_order() {
    std::size_t last = 0;
    for (const pugi::xml_node child : vib_.children()) {
      const auto known = std::find(kOrder.begin(), kOrder.end(), std::string_view{child.name()});
      if (known == kOrder.end()) {
        // Newer hosts know elements that we do not.
        if (child.type() == pugi::node_element)
          warn(fmt::format("has <{}>, which is not known here; older hosts may refuse it",
                           shown_xml(child.name())));
        continue;
      }
      const auto place = static_cast<std::size_t>(known - kOrder.begin());
      if (place + 1 == last) fault(fmt::format("has <{}> twice", child.name()));
      if (place + 1 < last)
        fault(fmt::format("has <{}> behind <{}>; the order matters", child.name(), kOrder[last - 1]));
      last = std::max(last, place + 1);
    }
  }

  /// Those that read_texts() asks for are faults there.
  void check_all_there() {
    constexpr std::array<std::string_view, 8> kRequired{
        "type", "name", "version", "vendor", "summary", "release-date", "acceptance-level", "payloads"};
    std::string missing;
    for (const std::string_view name : kOrder) {
      const bool required = std::find(kRequired.begin(), kRequired.end(), name) != kRequired.end();
      if (required || vib_.child(name.data())) continue;
      missing += fmt::format("{}<{}>", missing.empty() ? "" : ", ", name);
    }
    if (!missing.empty()) warn(fmt::format("lacks {}, which VMware's tools always write", missing));
  }

  void check_texts() {
    constexpr std::array<std::string_view, 3> kTypes{"bootbank", "locker", "meta"};
    if (!out_.type.empty() && std::find(kTypes.begin(), kTypes.end(), out_.type) == kTypes.end())
      fault(fmt::format("has the type '{}'; hosts know bootbank, locker and meta", shown_xml(out_.type)));
    if (!out_.name.empty() && !is_vib_name(out_.name)) {
      fault(fmt::format("has the name '{}'; a name is letters, digits, dots, - and _", shown_xml(out_.name)));
    }
    if (!out_.release_date.empty() && !is_date(out_.release_date, /*offset_required=*/false)) {
      fault(fmt::format("has the release date '{}'; hosts read one like 2026-11-21T00:00:00+00:00",
                        shown_xml(out_.release_date)));
    }
  }

  /// Below the descriptor's own elements too, newer hosts may know what we do not.
  void warn_of_unknown(pugi::xml_node parent, std::initializer_list<std::string_view> known) {
    for (const pugi::xml_node child : parent.children()) {
      if (child.type() != pugi::node_element) continue;
      if (std::find(known.begin(), known.end(), std::string_view{child.name()}) != known.end()) continue;
      warn(fmt::format("has <{}> in <{}>, which is not known here; older hosts may refuse it",
                       shown_xml(child.name()), parent.name()));
    }
  }

  void check_relationships() {
    const pugi::xml_node relationships = vib_.child("relationships");
    warn_of_unknown(relationships, {"depends", "conflicts", "replaces", "provides", "compatibleWith"});
    for (const char* const kind : {"depends", "conflicts", "replaces", "compatibleWith"}) {
      for (const pugi::xml_node list : relationships.children(kind)) {
        warn_of_unknown(list, {"constraint"});
        for (const pugi::xml_node constraint : list.children("constraint"))
          check_constraint(constraint, kind);
      }
    }
    for (const pugi::xml_node list : relationships.children("provides")) {
      warn_of_unknown(list, {"provide", "constraint"});
      for (const pugi::xml_node provided : list.children("provide")) check_names(provided, "provides");
      for (const pugi::xml_node provided : list.children("constraint"))
        check_constraint(provided, "provides");
    }
  }

  /// What is provided has a name and perhaps a version; what is asked of others also a relation to it.
  void check_names(pugi::xml_node node, const char* kind) {
    const std::string_view name = node.attribute("name").value();
    const std::string_view version = node.attribute("version").value();
    if (!is_vib_name(name)) {
      fault(
          fmt::format("names '{}' in <{}>; a name is letters, digits, dots, - and _", shown_xml(name), kind));
    }
    if (!version.empty() && !is_vib_name(version)) {
      fault(
          fmt::format("names '{}' in <{}> with the version '{}'; a version is letters, digits, dots, - and _",
                      shown_xml(name), kind, shown_xml(version)));
    }
  }

  void check_constraint(pugi::xml_node node, const char* kind) {
    check_names(node, kind);
    constexpr std::array<std::string_view, 5> kRelations{"<<", "<=", "=", ">=", ">>"};
    const std::string_view name = node.attribute("name").value();
    const std::string_view relation = node.attribute("relation").value();
    const std::string_view version = node.attribute("version").value();
    if (!relation.empty() && std::find(kRelations.begin(), kRelations.end(), relation) == kRelations.end()) {
      fault(fmt::format("has in <{}> the relation '{}' to '{}'; hosts know <<, <=, =, >= and >>", kind,
                        shown_xml(relation), shown_xml(name)));
    }
    if (relation.empty() != version.empty()) {
      fault(fmt::format("names '{}' in <{}> with {}; relation and version go together", shown_xml(name), kind,
                        relation.empty() ? "a version alone" : "a relation alone"));
    }
  }

  void check_requirements() {
    const pugi::xml_node needed = vib_.child("system-requires");
    if (!needed) return;  // check_all_there() has said so.
    warn_of_unknown(needed, {"maintenance-mode", "softwarePlatform"});
    const pugi::xml_node maintenance = needed.child("maintenance-mode");
    if (!maintenance)
      warn("lacks <maintenance-mode> in <system-requires>, which VMware's tools always write");
    if (maintenance.next_sibling("maintenance-mode")) fault("has <maintenance-mode> twice");
    for (const pugi::xml_node platform : needed.children("softwarePlatform")) {
      const std::string_view version = platform.attribute("version").value();
      const std::string_view product = platform.attribute("productLineID").value();
      if (!is_platform_version(version)) {
        fault(fmt::format("has in <softwarePlatform> the version '{}'; hosts know those like 8.0 and 8.*",
                          shown_xml(version)));
      }
      if (product != "embeddedEsx") {
        warn(fmt::format("has in <softwarePlatform> the product '{}'; ESXi is embeddedEsx",
                         shown_xml(product)));
      }
    }
  }

  std::string text(const char* name, bool required) {
    const pugi::xml_node node = vib_.child(name);
    std::string value = node.child_value();
    if (required && value.empty()) fault(fmt::format("has no <{}>", name));
    return value;
  }

  bool flag(pugi::xml_node parent, const char* name, bool absent) {
    const pugi::xml_node node = parent.child(name);
    if (!node) return absent;
    const std::string_view value = node.child_value();
    if (value != "true" && value != "false")
      fault(fmt::format("has '{}' in <{}>; it has to be true or false", shown_xml(value), name));
    return value == "true";
  }

  void read_texts() {
    out_.type = text("type", true);
    out_.name = text("name", true);
    out_.version = text("version", true);
    out_.vendor = text("vendor", true);
    out_.summary = text("summary", true);
    out_.description = text("description", false);
    out_.release_date = text("release-date", true);
    out_.acceptance_level = text("acceptance-level", true);
    out_.maintenance_mode = flag(vib_.child("system-requires"), "maintenance-mode", true);
    out_.live_install_allowed = flag(vib_, "live-install-allowed", false);
    out_.live_remove_allowed = flag(vib_, "live-remove-allowed", false);
    out_.cimom_restart = flag(vib_, "cimom-restart", false);
    out_.stateless_ready = flag(vib_, "stateless-ready", false);
    out_.overlay = flag(vib_, "overlay", false);
  }

  void read_lists() {
    for (const pugi::xml_node tag : vib_.child("software-tags").children("tag"))
      out_.tags.emplace_back(tag.child_value());
    for (const pugi::xml_node file : vib_.child("file-list").children("file"))
      out_.files.emplace_back(file.child_value());
    for (const pugi::xml_node node : vib_.child("relationships").child("replaces").children("constraint")) {
      out_.replaces.push_back({node.attribute("name").value(), node.attribute("relation").value(),
                               node.attribute("version").value()});
    }
  }

  void read_payload(pugi::xml_node node) {
    Payload payload{node.attribute("name").value(), node.attribute("type").value(), 0, {}};
    const std::string_view size = node.attribute("size").value();
    const auto [end, failure] = std::from_chars(size.data(), size.data() + size.size(), payload.size);
    if (failure != std::errc{} || end != size.data() + size.size())
      fault(fmt::format("gives payload '{}' the size '{}'", shown_xml(payload.name), shown_xml(size)));
    for (const pugi::xml_node sum : node.children("checksum")) {
      payload.checksums.push_back({sum.attribute("checksum-type").value(),
                                   sum.attribute("verify-process").value(), sum.child_value()});
    }
    out_.payloads.push_back(std::move(payload));
  }

  pugi::xml_node vib_;
  Descriptor out_;
  std::vector<std::string> faults_;
  std::vector<std::string> warnings_;
};

}  // namespace

Result<ReadDescriptor> read_descriptor(std::string_view xml) {
  return DescriptorReader{}.read(xml);
}

}  // namespace culvert::firewall
