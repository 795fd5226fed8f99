#include "firewall-vib/xml_text.hpp"

namespace culvert::firewall {

namespace {

struct StringWriter final : pugi::xml_writer {
  std::string text;
  void write(const void* data, std::size_t size) override {
    text.append(static_cast<const char*>(data), size);
  }
};

}  // namespace

std::string xml_text(const pugi::xml_document& document, XmlStyle style) {
  StringWriter writer;
  if (style == XmlStyle::OneLine) {
    document.save(writer, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  } else {
    writer.text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    document.save(writer, "  ", pugi::format_indent | pugi::format_no_declaration, pugi::encoding_utf8);
  }
  return std::move(writer.text);
}

pugi::xml_node add_text(pugi::xml_node parent, const char* name, std::string_view text) {
  pugi::xml_node child = parent.append_child(name);
  if (!text.empty()) child.append_child(pugi::node_pcdata).set_value(std::string{text}.c_str());
  return child;
}

pugi::xml_node only_root(const pugi::xml_document& document) {
  const pugi::xml_node root = document.document_element();
  const bool alone = document.first_child() == root && document.last_child() == root;
  return alone ? root : pugi::xml_node{};
}

std::string shown_xml(std::string_view text) {
  return std::string{text.substr(0, 60)} + (text.size() > 60 ? "..." : "");
}

}  // namespace culvert::firewall
