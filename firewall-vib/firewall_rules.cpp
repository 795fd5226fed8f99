#include "firewall-vib/firewall_rules.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "firewall-vib/rule_forms.hpp"

namespace culvert::firewall {

namespace {

using Renderer = std::string (*)(const RuleSet&);

struct Form {
  std::string name;
  Renderer render;
  bool incoming_only;
};

const std::vector<Form>& forms() {
  static const std::vector<Form> kForms{{"nftables", nftables_rules, false},
                                        {"iptables", iptables_rules, false},
                                        {"firewalld", firewalld_service, true},
                                        {"ufw", ufw_profile, true},
                                        {"windows", windows_script, false},
                                        {"markdown", markdown_request, false},
                                        {"csv", csv_request, false}};
  return kForms;
}

void add_rules(const PortCatalogue& catalogue, const PortRow& row, bool incoming, RuleSet& set) {
  std::vector<std::string> protocols{"tcp"};
  if (row.protocol == Protocol::TcpAndUdp) protocols.emplace_back("udp");
  for (const std::string& protocol : protocols) {
    set.rules.push_back({incoming, protocol, row.ports,
                         catalogue.role_name(incoming ? row.source : row.target),
                         row.service + ": " + row.purpose, row.id, incoming ? row.windows_group : ""});
  }
}

}  // namespace

Result<RuleSet> rules_for(const PortCatalogue& catalogue, const std::string& role) {
  const auto chosen = catalogue.select("", role);
  if (!chosen) return chosen.error();
  RuleSet set{role, catalogue.role_name(role), {}};
  for (const PortRow& row : chosen->rows()) {
    if (row.ports.empty()) continue;
    if (row.target == role) add_rules(catalogue, row, true, set);
    if (row.source == role && row.target != role) add_rules(catalogue, row, false, set);
  }
  if (!set.rules.empty()) return set;
  return Error{
      Errc::UsageInvalid,
      fmt::format("no chosen row has a port for the role '{}'; `culvert-vib ports --role {}` shows its rows",
                  role, role)};
}

const std::vector<std::string>& rule_forms() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Form& form : forms()) names.push_back(form.name);
    return names;
  }();
  return kNames;
}

Result<std::string> render_rules(const RuleSet& set, std::string_view name) {
  const auto form =
      std::find_if(forms().begin(), forms().end(), [&](const Form& each) { return each.name == name; });
  if (form == forms().end()) {
    return Error{Errc::UsageInvalid, fmt::format("there is no form '{}'; there are {}", name.substr(0, 40),
                                                 fmt::join(rule_forms(), ", "))};
  }
  const bool any_incoming =
      std::any_of(set.rules.begin(), set.rules.end(), [](const FirewallRule& rule) { return rule.incoming; });
  if (form->incoming_only && !any_incoming) {
    return Error{
        Errc::UsageInvalid,
        fmt::format(
            "nobody connects to the role '{}', and {} is about incoming connections alone; choose nftables, "
            "iptables, windows, markdown or csv",
            set.role, name)};
  }
  return form->render(set);
}

}  // namespace culvert::firewall
