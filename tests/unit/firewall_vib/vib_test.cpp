#include "firewall-vib/vib.hpp"

#include <catch2/catch.hpp>

#include "firewall-vib/agent_ports.hpp"
#include "firewall-vib/archive.hpp"
#include "firewall-vib/digest.hpp"
#include "firewall-vib/vib_print.hpp"
#include "firewall-vib/vib_reader.hpp"
#include "tests/support/temp_dir.hpp"
#include "tunnel-core/daemon/files.hpp"

using namespace culvert;
using namespace culvert::firewall;
using Catch::Contains;

namespace {

FirewallVib request_for(const std::string& ports) {
  FirewallVib request;
  request.ports = parse_ports(ports).value();
  request.version = "0.1.0-1";
  return request;
}

std::string usage_mistake(const FirewallVib& request) {
  const auto built = build_vib(request, nullptr);
  REQUIRE_FALSE(built);
  CHECK(built.error().code() == Errc::UsageInvalid);
  return built.error().text();
}

/// Our VIB taken apart, to be put together wrongly.
struct Parts {
  Parts() {
    auto members = read_ar(build_vib(request_for("10000-10010"), nullptr).value().bytes, {}).value();
    descriptor = read_descriptor(members[0].content).value().descriptor;
    payload = members[2].content;
  }
  std::vector<Member> members() const {
    return {{"descriptor.xml", descriptor_xml(descriptor)}, {"sig.pkcs7", ""}, {"culvert", payload}};
  }
  /// A payload of these files, with checksums that fit.
  void repack(const std::vector<Member>& files) {
    payload = write_tgz(files).value();
    Digest digest{DigestKind::Sha256};
    REQUIRE(gunzip(payload, {}, [&](std::string_view piece) { digest.add(piece); }));
    descriptor.payloads[0].size = payload.size();
    descriptor.payloads[0].checksums = {{"sha-256", "gunzip", digest.hex()}};
    descriptor.files.clear();
    for (const Member& file : files) descriptor.files.push_back(file.name);
  }

  Descriptor descriptor;
  std::string payload;
};

std::string findings_of(const std::vector<Member>& members) {
  return findings_text(examine_vib(write_ar(members).value()).value());
}

std::string findings_of(const Parts& parts) {
  return findings_of(parts.members());
}

}  // namespace

TEST_CASE("VIB: the same input gives the same bytes, other ports give others", "[vib]") {
  const auto one = build_vib(request_for("10000-10010"), nullptr).value();
  CHECK(one.bytes == build_vib(request_for("10000-10010"), nullptr).value().bytes);
  CHECK(one.bytes != build_vib(request_for("10000-10011"), nullptr).value().bytes);
  CHECK(one.file_name() == "Culvert_bootbank_culvert-firewall_0.1.0-1.vib");
}

TEST_CASE("VIB: what was built is read back and healthy", "[vib]") {
  const auto built = build_vib(request_for("443, 10000-10010"), nullptr).value();
  const VibReport report = examine_vib(built.bytes).value();
  CHECK(findings_text(report) == "");
  CHECK(report.descriptor.id() == built.id());
  CHECK_FALSE(report.is_signed);
  REQUIRE(report.rulesets.size() == 1);
  CHECK(report.rulesets[0].id == "culvert");
  CHECK(report.rulesets[0].enabled);
  CHECK_FALSE(report.rulesets[0].required);
  REQUIRE(report.rulesets[0].rules.size() == 2);
  CHECK(report.rulesets[0].rules[0].ports == PortRange{443, 443});
  CHECK(report.rulesets[0].rules[1].ports == PortRange{10000, 10010});
  REQUIRE(report.payloads.size() == 1);
  REQUIRE(report.payloads[0].entries.size() == 1);
  CHECK(report.payloads[0].entries[0].mode == 0644);
}

TEST_CASE("VIB: what a host would refuse is not built", "[vib]") {
  FirewallVib request = request_for("80");
  request.ports.clear();
  CHECK_THAT(usage_mistake(request), Contains("--ports 10000-10010"));
  for (const char* version :
       {"", "1", "1.0", "1.0-", "-1", "1.0-1 ", "1.0-1/../x", "a b-1", "1..0-1", "1.2.3.4.5-1"}) {
    request = request_for("80");
    request.version = version;
    CHECK_THAT(usage_mistake(request), Contains("1.0.0-1"));
  }
  request = request_for("80");
  for (const char* date : {"yesterday", "2026-11-21T00:00:00", "2026-13-45T99:99:99+99:99",
                           "2026-02-29T00:00:00+00:00", "2026-11-21T24:00:00+00:00"}) {
    request.release_date = date;
    CHECK_THAT(usage_mistake(request), Contains("release date"));
  }
  request = request_for("80");
  request.acceptance_level = "partner";
  CHECK_THAT(usage_mistake(request), Contains("--key"));
  request.acceptance_level = "best";
  CHECK_THAT(usage_mistake(request), Contains("certified, accepted, partner or community"));
  request = request_for("80");
  request.replaces = {"a<b"};
  CHECK_THAT(usage_mistake(request), Contains("replace"));
  request.replaces = {"culvert-firewall"};
  CHECK_THAT(usage_mistake(request), Contains("itself"));
  for (const char* version : {"1.0.0-0.0.1", "0.1.0-1", "8.0.3-1OEM.700.1.0", "1-1"})
    CHECK(is_vib_version(version));
}

TEST_CASE("VIB: every change of a payload is found", "[vib][hostile]") {
  const std::string good = build_vib(request_for("10000-10010"), nullptr).value().bytes;
  const std::size_t payload = good.rfind("`\n") + 2;
  for (std::size_t at = payload; at < good.size() - 1; ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x41);
    const auto report = examine_vib(bad);
    CHECK((!report || report->has_faults()));
  }
}

TEST_CASE("VIB: a file that is cut short anywhere is refused", "[vib][hostile]") {
  const std::string good = build_vib(request_for("10000-10010"), nullptr).value().bytes;
  // The last byte is ar's padding.
  for (std::size_t size = 0; size + 1 < good.size(); ++size) {
    const auto report = examine_vib(std::string_view{good}.substr(0, size));
    CHECK((!report || report->has_faults()));
  }
}

TEST_CASE("VIB: a byte that is changed anywhere never does harm", "[vib][hostile]") {
  const std::string good = build_vib(request_for("10000-10010"), nullptr).value().bytes;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char byte : {'\0', '\xff', '<', '9'}) {
      std::string bad = good;
      bad[at] = byte;
      const auto report = examine_vib(bad);
      if (report)
        CHECK_FALSE(
            vib_json(*report).dump(0, ' ', false, nlohmann::ordered_json::error_handler_t::replace).empty());
    }
  }
}

TEST_CASE("VIB: everything that is wrong is said at once", "[vib][hostile]") {
  Parts parts;
  parts.descriptor.version = "new";
  parts.descriptor.acceptance_level = "best";
  parts.descriptor.payloads[0].size += 1;
  parts.descriptor.payloads[0].checksums.erase(parts.descriptor.payloads[0].checksums.begin());
  parts.descriptor.payloads[0].checksums[0].value = "00";
  parts.descriptor.files.push_back("opt/nothing");
  const std::string findings = findings_of(parts);
  CHECK_THAT(findings, Contains("version 'new'") && Contains("acceptance level 'best'") &&
                           Contains("bytes, but the descriptor says") && Contains("ESXi 8") &&
                           Contains("sha-256 checksum") && Contains("'opt/nothing' is in the file-list"));
}

TEST_CASE("VIB: members that are missing, foreign, twice or out of order are named", "[vib][hostile]") {
  const Parts parts;
  auto members = parts.members();
  members.push_back({"extra", "x"});
  CHECK_THAT(findings_of(members), Contains("'extra', which the descriptor does not name"));
  members = parts.members();
  members.push_back(members[2]);
  CHECK_THAT(findings_of(members), Contains("'culvert' twice"));
  members = parts.members();
  std::swap(members[0], members[1]);
  CHECK_THAT(findings_of(members), Contains("does not begin with descriptor.xml"));
  members = parts.members();
  members.pop_back();
  CHECK_THAT(findings_of(members), Contains("in the descriptor, but not in the file"));
  members = parts.members();
  members.erase(members.begin());
  CHECK_THAT(examine_vib(write_ar(members).value()).error().text(), Contains("no descriptor.xml"));
}

TEST_CASE("VIB: payloads that leave their place or gain rights are refused", "[vib][hostile]") {
  Parts parts;
  parts.repack({{"../../etc/passwd", "root"}});
  CHECK_THAT(findings_of(parts), Contains("leaves its place"));
  parts.repack({{"/etc/shadow", "root"}});
  CHECK_THAT(findings_of(parts), Contains("leaves its place"));
  parts.repack({{"etc/init.d/thing", "#!/bin/sh"}});
  CHECK_THAT(findings_of(parts), Contains("hosts want --force"));
  parts.repack({{"etc/vmware/firewall/x.xml", "<ConfigRoot/>"}});
  CHECK_THAT(findings_of(parts), Contains("has no service"));
}

TEST_CASE("VIB: a payload has a name that fits the boot bank", "[vib][hostile]") {
  for (const char* name : {"p", "payload1", "net-8125", "uc_intel", "lsu-lsi-"}) CHECK(is_payload_name(name));
  for (const char* name : {"", "../x", "a b", "PAYLOAD", "a.b", "abcdefghi", "p\n", "\xc3\xa9"}) {
    INFO(name);
    CHECK_FALSE(is_payload_name(name));
    Parts parts;
    parts.descriptor.payloads[0].name = name;
    CHECK_THAT(findings_of(parts), Contains("is no name for one"));
  }
}

TEST_CASE("VIB: a payload is of a type that hosts know, and what that type says", "[vib][hostile]") {
  Parts parts;
  for (const char* type : {"", "foo", "TGZ", "tgz ", "zip"}) {
    parts.descriptor.payloads[0].type = type;
    CHECK_THAT(findings_of(parts), Contains("fault") && Contains("hosts know tgz, vgz"));
  }
  parts.descriptor.payloads[0].type = "boot";
  CHECK_THAT(findings_of(parts), !Contains("fault") && Contains("not looked into"));
  parts.descriptor.payloads[0].type = "vgz";
  CHECK_THAT(findings_of(parts), Contains("fault") && Contains("no visor tar"));
}

TEST_CASE("VIB: a signature is asked of every level but community", "[vib][hostile]") {
  Parts parts;
  parts.descriptor.acceptance_level = "partner";
  CHECK_THAT(findings_of(parts), Contains("not signed"));
  auto members = parts.members();
  members[1].content = "-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n";
  CHECK_THAT(findings_of(members), Contains("sig.pkcs7 is"));
}

TEST_CASE("Descriptor: elements out of order, twice or empty are faults", "[vib][hostile]") {
  std::string xml = descriptor_xml(Parts{}.descriptor);
  const std::string vendor = "<vendor>Culvert</vendor>";
  xml.replace(xml.find(vendor), vendor.size(), "");
  xml.replace(xml.find("</payloads>"), 11, "</payloads>" + vendor + vendor);
  std::string faults;
  const ReadDescriptor read = read_descriptor(xml).value();
  for (const std::string& fault : read.faults) faults += fault + "\n";
  CHECK_THAT(faults, Contains("<vendor> behind <payloads>"));
  CHECK_FALSE(read_descriptor("<vib"));
  CHECK_FALSE(read_descriptor("<other/>"));
  CHECK_FALSE(read_descriptor(std::string(kMaxDescriptor + 1, ' ')));
  CHECK(read_descriptor("<vib/>").value().faults.size() > 5);
  std::string deep;
  for (int i = 0; i < 200000; ++i) deep += "<a>";
  CHECK_FALSE(read_descriptor("<vib>" + deep));
}

TEST_CASE("Descriptor: an element that nobody here knows is a warning, wherever it stands", "[vib]") {
  for (const char* const before : {"<type>", "</vib>"}) {
    std::string xml = descriptor_xml(Parts{}.descriptor);
    xml.insert(xml.find(before), "<future-thing/>");
    const ReadDescriptor read = read_descriptor(xml).value();
    CHECK(read.faults.empty());
    REQUIRE(read.warnings.size() == 1);
    CHECK_THAT(read.warnings.front(), Contains("has <future-thing>"));
  }
}

TEST_CASE("Descriptor: bytes that no XML may hold are a fault", "[vib][hostile]") {
  const std::string good = descriptor_xml(Parts{}.descriptor);
  REQUIRE(read_descriptor(good).value().faults.empty());
  for (const char foreign : {'\x9f', '\x01', '\xc3'}) {
    std::string xml = good;
    xml[xml.find("<summary>") + 9] = foreign;
    const auto faults = read_descriptor(xml).value().faults;
    REQUIRE(faults.size() == 1);
    CHECK_THAT(faults.front(), Contains("no UTF-8 text"));
  }
}

TEST_CASE("Archive: a small file that unpacks to a huge one is stopped at the limit", "[vib][hostile]") {
  const std::string packed = write_tgz({{"zeros", std::string(8 << 20, '\0')}}).value();
  CHECK(packed.size() < 64 << 10);
  ReadLimits limits;
  limits.bytes = 1 << 20;
  std::uint64_t seen = 0;
  const auto done = gunzip(packed, limits, [&](std::string_view piece) { seen += piece.size(); });
  CHECK_FALSE(done);
  CHECK(seen <= limits.bytes);
  CHECK_FALSE(read_tgz(packed, limits));
}

TEST_CASE("Archive: zip and tar.gz do not depend on the time zone", "[vib]") {
  const std::vector<Member> members{{"a/b.xml", "text"}, {"c", std::string(100000, 'x')}};
  const std::string zip = write_zip(members).value();
  const std::string tgz = write_tgz(members).value();
  ::setenv("TZ", "Asia/Tokyo", 1);
  ::tzset();
  CHECK(write_zip(members).value() == zip);
  CHECK(write_tgz(members).value() == tgz);
  ::unsetenv("TZ");
  ::tzset();
}

TEST_CASE("Ruleset: what ESXi would not take is said", "[vib][hostile]") {
  const auto faults = [](const std::string& service) {
    std::string all;
    for (const std::string& fault : read_rulesets("<ConfigRoot>" + service + "</ConfigRoot>").faults)
      all += fault + "\n";
    return all;
  };
  const auto rule = [](const std::string& id, const std::string& port) {
    return "<rule id='" + id +
           "'><direction>outbound</direction><protocol>tcp</protocol><porttype>dst</porttype><port>" + port +
           "</port></rule>";
  };
  const std::string end = "<enabled>true</enabled><required>false</required></service>";
  const std::string begin = "<service id='0000'><id>x</id>";
  CHECK(faults(begin + rule("0000", "80") + end) == "");
  CHECK_THAT(faults(begin + end), Contains("no rule"));
  CHECK_THAT(faults(begin + rule("a", "80") + end), Contains("no number"));
  CHECK_THAT(faults(begin + rule("0", "80") + rule("0", "81") + end), Contains("twice"));
  CHECK_THAT(faults(begin + rule("0", "0") + end), Contains("1 to 65535"));
  CHECK_THAT(faults(begin + rule("0", "<begin>9</begin><end>8</end>") + end), Contains("ends before"));
  CHECK_THAT(faults(begin + rule("0", "<begin>1</begin><end>9</end>") + rule("1", "5") + end),
             Contains("overlap"));
  CHECK_THAT(faults("<service id='0'><id/>" + rule("0", "80") + "</service>"), Contains("without an id"));
  CHECK_THAT(faults("<other/>"), Contains("where only services stand"));
  CHECK_FALSE(read_rulesets("no xml").faults.empty());
}

TEST_CASE("Agent's ports: pool and forwards together, mistakes with their file", "[vib][ports]") {
  const TempDir dir;
  const auto config = dir.path() / "agent.toml";
  REQUIRE(write_file(config, "gateway_url = 'https://gw'\n[forwards]\nport_pool = '20000-20005'\n", 0600));
  CHECK(ports_text(ports_of_agent(config).value().forwards) == "20000-20005");
  std::filesystem::create_directory(dir.path() / "forwards.d");
  REQUIRE(write_file(dir.path() / "forwards.d" / "a.toml", "target = 'a'\nport = 31031\n", 0600));
  REQUIRE(write_file(dir.path() / "forwards.d" / "b.toml", "target = 'b'\nport = 20006\n", 0600));
  CHECK(ports_text(ports_of_agent(config).value().forwards) == "20000-20006, 31031");
  REQUIRE(write_file(dir.path() / "forwards.d" / "b.toml", "port = 'many'\n", 0600));
  CHECK_THAT(ports_of_agent(config).error().text(), Contains("b.toml") && Contains("1 to 65535"));
  REQUIRE(write_file(config, "gateway_url = 'https://gw'\n[forwards]\nport_pool = '9-1'\n", 0600));
  CHECK_THAT(ports_of_agent(config).error().text(), Contains("agent.toml: 'port_pool'"));
  REQUIRE(write_file(config, "[forwards\n", 0600));
  CHECK_THAT(ports_of_agent(config).error().text(), Contains("line 1"));
  CHECK(ports_of_agent(dir.path() / "none.toml").error().code() == Errc::NotFound);
}

TEST_CASE("Agent's ports: depot and gateway are read too", "[vib][ports]") {
  const TempDir dir;
  const auto config = dir.path() / "agent.toml";
  const auto read = [&](const std::string& text) {
    REQUIRE(write_file(config, text, 0600));
    return ports_of_agent(config).value();
  };
  CHECK(read("gateway_url = 'https://gw'\n").gateway == 443);
  CHECK(read("gateway_url = 'https://gw/'\n").depot == 80);
  CHECK(read("gateway_url = 'https://gw:8443'\n").gateway == 8443);
  CHECK(read("gateway_url = 'https://[2001:db8::1]'\n").gateway == 443);
  CHECK(read("gateway_url = 'https://[2001:db8::1]:444/'\n[depot]\nport = 8080\n").gateway == 444);
  CHECK(read("gateway_url = 'https://gw'\n[depot]\nport = 8080\n").depot == 8080);
  CHECK_FALSE(read("gateway_url = 'https://gw'\n[depot]\nenabled = false\n").depot);
}

TEST_CASE("Agent's ports: what would open other ports than meant is refused by its key", "[vib][ports]") {
  const TempDir dir;
  const auto config = dir.path() / "agent.toml";
  const std::string url = "gateway_url = 'https://gw'\n";
  for (const auto& [text, key] : std::vector<std::pair<std::string, std::string>>{
           {url + "[forwards]\nport_pool = 12345\n", "'port_pool' has to be a text"},
           {url + "[forwards]\nport_pool = ['20000-20010']\n", "'port_pool' has to be a text"},
           {url + "[forwards]\nport_pol = '20000-20010'\n", "'port_pol' is no key of [forwards]"},
           {url + "port_pool = '20000-20010'\n", "'port_pool' is no key"},
           {url + "[forward]\nport_pool = '20000-20010'\n", "'forward' is no key"},
           {url + "forwards = 3\n", "'forwards' has to be a table"},
           {url + "data_dir = 5\n", "'data_dir' has to be a text"},
           {url + "[depot]\nport = '80'\n", "'port' has to be a number"},
           {url + "[depot]\nport = 65536\n", "'port' has to be a number"},
           {"gateway_url = 'https://gw:x'\n", "'gateway_url' has no port"},
           {"gateway_url = 4\n", "'gateway_url' has to be a text"},
           {"", "this is no agent.toml"},
           {"listen = ['0.0.0.0:443']\n[limits]\n", "'listen' is no key"}}) {
    REQUIRE(write_file(config, text, 0600));
    const auto ports = ports_of_agent(config);
    REQUIRE_FALSE(ports);
    CHECK(ports.error().code() == Errc::ConfigInvalid);
    CHECK_THAT(ports.error().text(), Contains(key) && Contains("agent.toml"));
  }
}
