// Small things that every writer and reader of XML here needs.
#pragma once

#include <pugixml.hpp>
#include <string>
#include <string_view>

namespace culvert::firewall {

/// A hostile file could have a million faults; a person reads so many.
constexpr std::size_t kMaxFaults = 100;

enum class XmlStyle {
  OneLine,   ///< No white space and no declaration, as VMware's tools write descriptors.
  Indented,  ///< With a declaration, for people too.
};

std::string xml_text(const pugi::xml_document& document, XmlStyle style);

/// <name>text</name> at the end of `parent`; the element itself.
pugi::xml_node add_text(pugi::xml_node parent, const char* name, std::string_view text);

/// The only root element, when there is nothing else beside it but comments; null otherwise. The parser alone
/// takes the first of several. `document` was loaded with kParseWhole.
pugi::xml_node only_root(const pugi::xml_document& document);
constexpr unsigned kParseWhole = pugi::parse_default | pugi::parse_fragment;

/// Foreign text for a message: at most 60 characters of it.
std::string shown_xml(std::string_view text);

}  // namespace culvert::firewall
