#include "firewall-vib/port_catalogue.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "firewall-vib/catalogue_print.hpp"

using namespace culvert;
using namespace culvert::firewall;
using Catch::Contains;

namespace {

const std::string kHead = R"(
[products]
p = "Product"
[roles]
a = "one"
b = "other"
)";

std::string row(const std::string& id, const std::string& ports, const std::string& more = "") {
  return "[[row]]\nid = \"" + id +
         "\"\nproduct = \"p\"\nservice = \"s\"\nsource = \"a\"\ntarget = \"b\"\nports = \"" + ports +
         "\"\nprotocol = \"tcp\"\ndirection = \"inside\"\npurpose = \"why\"\n" + more;
}

std::string mistake_of(const std::string& rows) {
  const auto parsed = PortCatalogue::parse(kHead + rows, "x.toml");
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().code() == Errc::ConfigInvalid);
  return parsed.error().text();
}

}  // namespace

TEST_CASE("Ports: ranges are put in order, joined where they touch, and read back", "[vib][ports]") {
  CHECK(ports_text(parse_ports("443").value()) == "443");
  CHECK(ports_text(parse_ports("6106, 3527").value()) == "3527, 6106");
  CHECK(ports_text(parse_ports("10000-10005,10006-10010, 65535").value()) == "10000-10010, 65535");
  CHECK(count_ports(parse_ports("1-65535").value()) == 65535);
  CHECK(ports_text({}) == "none");
}

TEST_CASE("Ports: what is no range is refused with what to write", "[vib][ports]") {
  for (const char* wrong :
       {"", "0", "65536", "80-", "-80", "a", "80;81", "1-2-3", "99999999999", "80,,81", "+80"}) {
    const auto parsed = parse_ports(wrong);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code() == Errc::UsageInvalid);
    CHECK_THAT(parsed.error().text(), Contains("10000-10010"));
  }
  CHECK_THAT(parse_ports("20-10").error().text(), Contains("write 10-20"));
  CHECK_THAT(parse_ports("10-20,15").error().text(), Contains("10-20 and 15 overlap"));
  std::string many = "1";
  for (int port = 3; port < 3 + 2 * 300; port += 2) many += "," + std::to_string(port);
  CHECK_THAT(parse_ports(many).error().text(), Contains("more than 256"));
}

TEST_CASE("Catalogue: it has every port of the products it knows", "[vib][ports]") {
  const PortCatalogue& catalogue = PortCatalogue::built_in();
  std::set<std::string> found;
  for (const PortRow& row : catalogue.rows()) {
    for (const PortRange& range : row.ports) found.insert(row.product + " " + range.to_text());
  }
  for (const char* port : {"80", "443", "10000-10010", "902", "5480", "8043", "8123", "31031", "32032"}) {
    CHECK(found.contains("vsphere-replication " + std::string{port}));
  }
  for (const char* port : {"6101", "3527", "6106", "5633", "10000", "1024-65535", "50104", "10082", "10102",
                           "80", "443", "135"}) {
    CHECK(found.contains("backup-exec " + std::string{port}));
  }
  for (const char* port : {"80", "443", "10000-10010", "31031", "44046"}) {
    CHECK(found.contains("culvert " + std::string{port}));
  }
  REQUIRE(catalogue.find("be-devices") != nullptr);
  CHECK(catalogue.find("be-devices")->ports.empty());
  CHECK(catalogue.find("vr-nfc")->protocol == Protocol::TcpAndUdp);
  CHECK(catalogue.find("be-data")->changeable != "");
  CHECK(catalogue.find("be-control")->changeable != "");
  CHECK(catalogue.find("be-management")->changeable == "");
}

TEST_CASE("Catalogue: a mistake in it is named with file, line and row", "[vib][ports]") {
  CHECK_THAT(mistake_of("[[row"), Contains("x.toml:"));
  CHECK_THAT(mistake_of(""), Contains("no rows"));
  CHECK_THAT(mistake_of(row("r", "0")), Contains("x.toml:7: row 'r' has wrong ports"));
  CHECK_THAT(mistake_of(row("r", "80") + row("r", "81")), Contains("twice"));
  CHECK_THAT(mistake_of(row("r", "80", "colour = 'red'\n")), Contains("no column 'colour'"));
  CHECK_THAT(mistake_of(row("r", "80", "changeable = 1\n")), Contains("'changeable'"));
  CHECK_THAT(mistake_of(row("r", "80", "dynamic = 'yes'\n")),
             Contains("'dynamic' that is not true or false"));
  CHECK_THAT(mistake_of(row("r", "none")), Contains("protocol but no ports"));
  CHECK_THAT(mistake_of("[[row]]\nid = 'r'\n"), Contains("lacks the column 'product'"));
  std::string foreign = row("r", "80");
  foreign.replace(foreign.find("\"b\""), 3, "\"c\"");
  CHECK_THAT(mistake_of(foreign), Contains("the role 'c', which [roles] lacks"));
  std::string unsafe = row("r", "80");
  unsafe.replace(unsafe.find("\"why\""), 5, "\"a | b\"");
  CHECK_THAT(mistake_of(unsafe), Contains("'purpose'"));
  CHECK_THAT(mistake_of(row("r{}", "80")), Contains("letters, digits and -"));
}

TEST_CASE("Catalogue: names that would be a piece of a script are refused", "[vib][ports][hostile]") {
  const auto mistake = [](const std::string& roles) {
    const auto parsed = PortCatalogue::parse("[products]\np = 'P'\n[roles]\n" + roles + row("r", "80"), "x");
    REQUIRE_FALSE(parsed);
    return parsed.error().text();
  };
  CHECK_THAT(mistake("a = \"A\\nflush ruleset\"\nb = 'B'\n"),
             Contains("'a' in [roles]") && Contains("one line"));
  CHECK_THAT(mistake("a = 'A'\nb = 'B'\n'b c' = 'C'\n"), Contains("'b c' in [roles]"));
  CHECK_THAT(mistake("a = 'A'\nb = 'B'\nc = 'x|y'\n"), Contains("'c' in [roles]"));
}

TEST_CASE("Catalogue: two rows that open the same port between the same two are a mistake", "[vib][ports]") {
  CHECK_THAT(mistake_of(row("wide", "70-90") + row("narrow", "80")),
             Contains("row 'narrow' opens ports that row 'wide' opens already (70-90)"));
  // A dynamic range holds fixed ports by its nature.
  CHECK(
      PortCatalogue::parse(kHead + row("fixed", "80") + row("dynamic", "1-65535", "dynamic = true\n"), "x"));
  CHECK_THAT(mistake_of(row("dynamic", "100-200", "dynamic = true\n") + row("fixed", "150-250")),
             Contains("row 'fixed' opens ports that row 'dynamic' opens already"));
}

TEST_CASE("Catalogue: ports that were set may not be those of another row", "[vib][ports]") {
  PortCatalogue catalogue =
      PortCatalogue::parse(kHead + row("r1", "100", "changeable = 'so'\n") +
                               row("r2", "200", "changeable = 'so'\n") + row("r3", "300"),
                           "x")
          .value();
  REQUIRE(catalogue.check_overlaps());
  REQUIRE(catalogue.set_ports("r1", parse_ports("200").value()));
  CHECK_THAT(catalogue.check_overlaps().error().text(), Contains("'r1' (200) and 'r2' (200)"));
  REQUIRE(catalogue.set_ports("r2", parse_ports("100").value()));
  CHECK(catalogue.check_overlaps());
  REQUIRE(catalogue.set_ports("r1", parse_ports("250-350").value()));
  CHECK_THAT(catalogue.check_overlaps().error().text(), Contains("'r1' (250-350) and 'r3' (300)"));
}

TEST_CASE("Catalogue: rows are chosen by product and role, and names it lacks are refused", "[vib][ports]") {
  const PortCatalogue& all = PortCatalogue::built_in();
  const auto media = all.select("backup-exec", "media-server").value();
  CHECK(media.rows().size() > 5);
  for (const PortRow& row : media.rows()) {
    CHECK(row.product == "backup-exec");
    CHECK((row.source == "media-server" || row.target == "media-server"));
  }
  CHECK_THAT(all.select("oracle", "").error().text(), Contains("backup-exec, culvert, vsphere-replication"));
  CHECK_THAT(all.select("", "nobody").error().text(), Contains("media-server"));
}

TEST_CASE("Catalogue: only changeable rows take other ports", "[vib][ports]") {
  PortCatalogue catalogue = PortCatalogue::built_in();
  REQUIRE(catalogue.set_ports("be-data", parse_ports("20000-20100").value()));
  CHECK(ports_text(catalogue.find("be-data")->ports) == "20000-20100");
  REQUIRE(catalogue.set_ports("be-control", parse_ports("9999").value()));
  CHECK(catalogue.check_overlaps());  // Within Backup Exec's dynamic range, as 10000 is.
  CHECK(ports_text(catalogue.find("be-control")->ports) == "9999");
  CHECK_THAT(catalogue.set_ports("be-management", {}).error().text(), Contains("fixed by Backup Exec"));
  CHECK_THAT(catalogue.set_ports("nothing", {}).error().text(), Contains("no row 'nothing'"));
}

TEST_CASE("Catalogue: every form of it holds every row", "[vib][ports]") {
  const PortCatalogue& catalogue = PortCatalogue::built_in();
  const auto json = catalogue_json(catalogue);
  const std::string markdown = catalogue_markdown(catalogue);
  const std::string csv = catalogue_csv(catalogue);
  const std::string text = catalogue_text(catalogue);
  REQUIRE(json["rows"].size() == catalogue.rows().size());
  const auto rows = static_cast<std::ptrdiff_t>(catalogue.rows().size());
  CHECK(std::count(csv.begin(), csv.end(), '\n') == rows + 1);
  CHECK(std::count(text.begin(), text.end(), '\n') == rows + 1);
  for (const PortRow& row : catalogue.rows()) {
    CHECK_THAT(markdown, Contains(row.purpose));
    CHECK_THAT(csv, Contains(row.id + ","));
    CHECK_THAT(text, Contains(row.purpose));
  }
  CHECK(csv_field("a,\"b\"") == "\"a,\"\"b\"\"\"");
}
