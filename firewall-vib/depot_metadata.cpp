#include "firewall-vib/depot_metadata.hpp"

#include <fmt/format.h>

#include <array>
#include <pugixml.hpp>

#include "firewall-vib/xml_text.hpp"

namespace culvert::firewall {

namespace {

constexpr std::string_view kVendorCode = "CLV";
constexpr const char* kProductLine = "embeddedEsx";
/// The ruleset is the same for all of them.
constexpr std::array<const char*, 4> kEsxiLines{"6.*", "7.*", "8.*", "9.*"};

void add_platform(pugi::xml_node parent, const char* name, const char* version) {
  pugi::xml_node platform = parent.append_child(name);
  platform.append_attribute("version") = version;
  platform.append_attribute("locale") = "";
  platform.append_attribute("productLineID") = kProductLine;
}

void add_spec(pugi::xml_node parent, const char* name, const char* key, std::string_view value,
              std::string_view shown) {
  pugi::xml_node spec = parent.append_child(name);
  spec.append_attribute(key) = std::string{value}.c_str();
  spec.append_attribute("uiString") = std::string{shown}.c_str();
}

/// All of a bulletin but its list of VIBs, which has two forms.
pugi::xml_node add_bulletin(pugi::xml_node parent, const Descriptor& descriptor) {
  pugi::xml_node bulletin = parent.append_child("bulletin");
  add_text(bulletin, "id", bulletin_id(descriptor));
  add_text(bulletin, "vendor", descriptor.vendor);
  add_text(bulletin, "summary", descriptor.summary);
  add_text(bulletin, "severity", "general");
  add_text(bulletin, "category", "enhancement");
  add_text(bulletin, "urgency", "moderate");
  add_text(bulletin, "releaseType", "extension");
  add_text(bulletin, "description", descriptor.description);
  add_text(bulletin, "kbUrl", "");
  add_text(bulletin, "contact", "");
  add_spec(bulletin, "componentNameSpec", "name", descriptor.name, "Culvert firewall ruleset");
  add_spec(bulletin, "componentVersionSpec", "version", descriptor.version, descriptor.version);
  add_text(bulletin, "releaseDate", descriptor.release_date);
  pugi::xml_node platforms = bulletin.append_child("platforms");
  for (const char* line : kEsxiLines) add_platform(platforms, "softwarePlatform", line);
  return bulletin;
}

void add_old_vib(pugi::xml_node list, const Descriptor& descriptor, const DepotPlace& place) {
  pugi::xml_node vib = list.append_child("vib");
  add_text(vib, "vibVersion", "1.4.5");
  add_text(vib, "vibID", descriptor.id());
  add_text(vib, "name", descriptor.name);
  add_text(vib, "version", descriptor.version);
  add_text(vib, "vendor", descriptor.vendor);
  add_text(vib, "vibType", descriptor.type);
  add_text(vib, "summary", descriptor.summary);
  pugi::xml_node requires_node = vib.append_child("systemReqs");
  add_text(requires_node, "maintenanceMode", descriptor.maintenance_mode ? "true" : "false");
  for (const char* line : kEsxiLines) add_platform(requires_node, "swPlatform", line);
  vib.append_child("relationships");
  pugi::xml_node post = vib.append_child("postInstall");
  add_text(post, "rebootRequired", "false");
  add_text(post, "hostdRestart", "false");
  vib.append_child("softwareTags");
  pugi::xml_node file = vib.append_child("vibFile");
  add_text(file, "sourceUrl", "");
  add_text(file, "relativePath", place.relative_path);
  add_text(file, "packedSize", std::to_string(place.packed_size));
  pugi::xml_node sum = file.append_child("checksum");
  add_text(sum, "checksumType", "sha-256");
  add_text(sum, "checksum", place.sha256);
}

}  // namespace

std::string bulletin_id(const Descriptor& descriptor) {
  return fmt::format("{}-{}", descriptor.name, descriptor.version);
}

std::string depot_index_xml() {
  pugi::xml_document document;
  pugi::xml_node vendor = document.append_child("vendorList").append_child("vendor");
  add_text(vendor, "name", kVibVendor);
  add_text(vendor, "code", kVendorCode);
  add_text(vendor, "indexfile", "vendor-index.xml");
  add_text(vendor, "patchUrl", "");
  add_text(vendor, "relativePath", "");
  pugi::xml_node content = vendor.append_child("content");
  add_text(content, "name", "VMware ESX");
  add_text(content, "type", "http://www.vmware.com/depotmanagement/esx");
  return xml_text(document, XmlStyle::Indented);
}

std::string vendor_index_xml() {
  pugi::xml_document document;
  pugi::xml_node list = document.append_child("metaList");
  for (const char* line : kEsxiLines) {
    pugi::xml_node metadata = list.append_child("metadata");
    add_text(metadata, "productId", kProductLine);
    add_text(metadata, "version", line);
    add_text(metadata, "locale", "");
    add_text(metadata, "url", "metadata.zip");
    add_text(metadata, "channelName", "default");
  }
  return xml_text(document, XmlStyle::Indented);
}

std::string bulletin_xml(const Descriptor& descriptor) {
  pugi::xml_document document;
  pugi::xml_node bulletin = add_bulletin(document, descriptor);
  add_text(bulletin.append_child("vibList"), "vibID", descriptor.id());
  return xml_text(document, XmlStyle::Indented);
}

std::string old_metadata_xml(const Descriptor& descriptor, const DepotPlace& place) {
  pugi::xml_document document;
  pugi::xml_node response = document.append_child("metadataResponse");
  add_text(response, "version", "3.0");
  add_text(response, "timestamp", descriptor.release_date);
  pugi::xml_node bulletin = add_bulletin(response, descriptor);
  add_old_vib(bulletin.append_child("vibList"), descriptor, place);
  return xml_text(document, XmlStyle::Indented);
}

}  // namespace culvert::firewall
