#include <catch2/catch.hpp>

#include "firewall-vib/firewall_rules.hpp"

using namespace culvert;
using namespace culvert::firewall;
using Catch::Contains;

namespace {

RuleSet rules(const std::string& role, const std::string& product = "") {
  return rules_for(PortCatalogue::built_in().select(product, "").value(), role).value();
}

std::string rendered(const RuleSet& set, const char* form) {
  return render_rules(set, form).value();
}

}  // namespace

TEST_CASE("Rules: a role lets in what it is the target of, and out what it is the source of",
          "[vib][rules]") {
  const RuleSet set = rules("remote-server", "backup-exec");
  std::string in;
  std::string out;
  for (const FirewallRule& rule : set.rules) (rule.incoming ? in : out) += rule.row + " ";
  CHECK(in == "be-control be-data ");
  CHECK(out == "be-browser be-job-engine be-dedup-engine be-dedup-manager ");
}

TEST_CASE("Rules: each form holds every port of the role", "[vib][rules]") {
  const RuleSet set = rules("esxi-target");
  for (const std::string& form : rule_forms()) CHECK_THAT(rendered(set, form.c_str()), Contains("902"));
  CHECK_THAT(rendered(set, "nftables"), Contains("udp dport { 902 } accept"));
  CHECK_THAT(rendered(set, "iptables"), Contains("-p udp -m udp --dport 902 "));
  CHECK_THAT(rendered(set, "ufw"), Contains("ports=902/tcp|902/udp"));
  CHECK_THAT(rendered(set, "firewalld"), Contains("<port protocol=\"udp\" port=\"902\" />"));
  CHECK_THAT(rendered(set, "windows"), Contains("-Protocol UDP -LocalPort '902'"));
}

TEST_CASE("Rules: ranges are written as each form writes them", "[vib][rules]") {
  const RuleSet set = rules("agent", "culvert");
  CHECK_THAT(rendered(set, "nftables"), Contains("{ 10000-10010 }"));
  CHECK_THAT(rendered(set, "iptables"), Contains("--dport 10000:10010 "));
  CHECK_THAT(rendered(set, "ufw"), Contains("ports=80,10000:10010,31031,44046/tcp"));
  CHECK_THAT(rendered(set, "windows"), Contains("-LocalPort '31031', '44046'"));
  CHECK_THAT(rendered(set, "csv"), Contains("\"31031, 44046\""));
}

TEST_CASE("Rules: ufw takes at most 15 ports at once, and a range is two", "[vib][rules]") {
  PortCatalogue catalogue = PortCatalogue::built_in().select("culvert", "").value();
  const auto profile = [&](const char* ports) {
    REQUIRE(catalogue.set_ports("agent-ports", parse_ports(ports).value()));
    REQUIRE(catalogue.set_ports("agent-ports-without-vib", {}));
    REQUIRE(catalogue.set_ports("agent-depot", {}));
    return rendered(rules_for(catalogue, "agent").value(), "ufw");
  };
  CHECK_THAT(profile("1,3,5,7,9,11,13,15,17,19,21,23,25,27,29"),
             Contains("ports=1,3,5,7,9,11,13,15,17,19,21,23,25,27,29/tcp\n"));
  CHECK_THAT(profile("1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31"),
             Contains("ports=1,3,5,7,9,11,13,15,17,19,21,23,25,27,29/tcp|31/tcp\n"));
  CHECK_THAT(profile("1,3,5,7,9,11,13,15,17,19,21,23,25,27,40-50"),
             Contains("ports=1,3,5,7,9,11,13,15,17,19,21,23,25,27/tcp|40:50/tcp\n"));
}

TEST_CASE("Rules: what makes no sense is refused", "[vib][rules]") {
  const PortCatalogue& all = PortCatalogue::built_in();
  CHECK(rules_for(all, "nobody").error().code() == Errc::UsageInvalid);
  CHECK(rules_for(all.select("culvert", "").value(), "browser").error().code() == Errc::UsageInvalid);
  CHECK_THAT(render_rules(rules("agent"), "pf").error().text(), Contains("nftables"));
  for (const char* form : {"ufw", "firewalld"})
    CHECK_THAT(render_rules(rules("browser"), form).error().text(), Contains("incoming connections alone"));
}
