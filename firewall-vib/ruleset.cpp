#include "firewall-vib/ruleset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <pugixml.hpp>
#include <set>

#include "firewall-vib/xml_text.hpp"
#include "tunnel-core/base/assert.hpp"

namespace culvert::firewall {

namespace {

/// One file; faults are collected, because a person wants to mend all of them at once.
class RulesetReader {
 public:
  ReadRulesets read(std::string_view xml) {
    pugi::xml_document document;
    const auto parsed = document.load_buffer(xml.data(), xml.size(), kParseWhole);
    const pugi::xml_node root = only_root(document);
    if (!parsed || std::string_view{root.name()} != "ConfigRoot") {
      fault(parsed ? "has not ConfigRoot alone as its root element"
                   : fmt::format("is no XML: {}", parsed.description()));
      return std::move(result_);
    }
    for (const pugi::xml_node child : root.children()) {
      if (std::string_view{child.name()} == "service") {
        read_service(child);
      } else {
        fault(fmt::format("has <{}> where only services stand", shown_xml(child.name())));
      }
    }
    if (result_.rulesets.empty()) fault("has no service");
    return std::move(result_);
  }

 private:
  void fault(std::string text) {
    if (result_.faults.size() < kMaxFaults) result_.faults.push_back(std::move(text));
  }

  void read_service(pugi::xml_node service) {
    Ruleset ruleset;
    ruleset.id = service.child_value("id");
    where_ = fmt::format("service '{}'", shown_xml(ruleset.id));
    if (ruleset.id.empty()) fault("has a service without an id");
    if (!ids_.insert(ruleset.id).second) fault(fmt::format("has {} twice", where_));
    check_number(service, "service", service_numbers_);
    std::set<std::string> rule_numbers;
    for (const pugi::xml_node rule : service.children("rule")) {
      check_number(rule, "rule", rule_numbers);
      if (ruleset.rules.size() == kMaxPortRanges) {
        fault(fmt::format("{} has more than {} rules", where_, kMaxPortRanges));
        break;
      }
      read_rule(rule, ruleset);
    }
    if (ruleset.rules.empty()) fault(fmt::format("{} has no rule", where_));
    ruleset.enabled = flag(service, "enabled");
    ruleset.required = flag(service, "required");
    result_.rulesets.push_back(std::move(ruleset));
  }

  void check_number(pugi::xml_node node, const char* what, std::set<std::string>& seen) {
    const std::string id = node.attribute("id").value();
    const bool digits = !id.empty() && id.find_first_not_of("0123456789") == std::string::npos;
    if (!digits)
      fault(fmt::format("{}: a {} has the id '{}', which is no number", where_, what, shown_xml(id)));
    if (!seen.insert(id).second)
      fault(fmt::format("{}: {} id '{}' is there twice", where_, what, shown_xml(id)));
  }

  bool flag(pugi::xml_node service, const char* name) {
    const std::string_view text = service.child_value(name);
    if (text != "true" && text != "false") {
      fault(fmt::format("{}: <{}> is '{}'; it has to be true or false", where_, name, shown_xml(text)));
    }
    return text == "true";
  }

  std::string choice(pugi::xml_node rule, const char* name, std::string_view one, std::string_view other) {
    std::string text = rule.child_value(name);
    if (text != one && text != other) {
      fault(
          fmt::format("{}: <{}> is '{}'; it has to be {} or {}", where_, name, shown_xml(text), one, other));
    }
    return text;
  }

  void read_rule(pugi::xml_node node, Ruleset& ruleset) {
    RulesetRule rule;
    rule.direction = choice(node, "direction", "inbound", "outbound");
    rule.protocol = choice(node, "protocol", "tcp", "udp");
    rule.port_type = choice(node, "porttype", "dst", "src");
    const pugi::xml_node port = node.child("port");
    const bool range = static_cast<bool>(port.child("begin")) || static_cast<bool>(port.child("end"));
    const auto first = number(range ? port.child_value("begin") : port.child_value());
    const auto last = number(range ? port.child_value("end") : port.child_value());
    if (!first || !last || *first > *last) {
      return fault(fmt::format(
          "{}: a rule has no port from 1 to 65535, or a range that ends before it begins", where_));
    }
    rule.ports = {*first, *last};
    for (const RulesetRule& other : ruleset.rules) {
      if (other.direction == rule.direction && other.protocol == rule.protocol &&
          other.port_type == rule.port_type && other.ports.overlaps(rule.ports)) {
        fault(
            fmt::format("{}: ports {} and {} overlap", where_, other.ports.to_text(), rule.ports.to_text()));
        break;
      }
    }
    ruleset.rules.push_back(std::move(rule));
  }

  static std::optional<std::uint16_t> number(std::string_view text) {
    std::uint16_t value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc{} || end != text.data() + text.size() || value == 0) return std::nullopt;
    return value;
  }

  ReadRulesets result_;
  std::string where_ = "the file";
  std::set<std::string> ids_;
  std::set<std::string> service_numbers_;
};

}  // namespace

std::string ruleset_path(std::string_view id) {
  return fmt::format("etc/vmware/firewall/{}.xml", id);
}

std::string ruleset_xml(std::string_view id, const PortRanges& ports) {
  TUNNEL_ASSERT(!ports.empty() && ports.size() <= kMaxPortRanges);
  pugi::xml_document document;
  pugi::xml_node service = document.append_child("ConfigRoot").append_child("service");
  service.append_attribute("id") = "0000";
  add_text(service, "id", id);
  int number = 0;
  for (const PortRange& range : ports) {
    pugi::xml_node rule = service.append_child("rule");
    rule.append_attribute("id") = fmt::format("{:04}", number++).c_str();
    add_text(rule, "direction", "outbound");
    add_text(rule, "protocol", "tcp");
    add_text(rule, "porttype", "dst");
    if (range.is_single()) {
      add_text(rule, "port", range.to_text());
    } else {
      pugi::xml_node port = rule.append_child("port");
      add_text(port, "begin", std::to_string(range.first));
      add_text(port, "end", std::to_string(range.last));
    }
  }
  add_text(service, "enabled", "true");
  add_text(service, "required", "false");
  return xml_text(document, XmlStyle::Indented);
}

ReadRulesets read_rulesets(std::string_view xml) {
  return RulesetReader{}.read(xml);
}

}  // namespace culvert::firewall
