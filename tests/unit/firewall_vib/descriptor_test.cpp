// What a descriptor asks of hosts and of other packages, written by anybody.
#include "firewall-vib/descriptor.hpp"

#include <catch2/catch.hpp>

using namespace culvert;
using namespace culvert::firewall;
using Catch::Contains;

namespace {

/// A descriptor without fault or warning, but for what stands in these two of its elements.
std::string xml_with(const std::string& relationships, const std::string& requirements) {
  return "<vib version='5.0'><type>bootbank</type><name>thing</name><version>1.0-1</version>"
         "<vendor>Somebody</vendor><summary>thing</summary><description/>"
         "<release-date>2026-01-01T00:00:00+00:00</release-date><urls/><relationships>" +
         relationships + "</relationships><software-tags/><system-requires>" + requirements +
         "</system-requires><file-list/><acceptance-level>community</acceptance-level>"
         "<live-install-allowed>true</live-install-allowed><live-remove-allowed>true</live-remove-allowed>"
         "<cimom-restart>false</cimom-restart><stateless-ready>true</stateless-ready><overlay>false</overlay>"
         "<payloads><payload name='p' type='tgz' size='1'/></payloads></vib>";
}

const std::string kNoMaintenance = "<maintenance-mode>false</maintenance-mode>";

/// One line each: "fault descriptor.xml ...", "warning descriptor.xml ...".
std::string findings_in(const std::string& relationships, const std::string& requirements = kNoMaintenance) {
  const ReadDescriptor read = read_descriptor(xml_with(relationships, requirements)).value();
  std::string all;
  for (const std::string& fault : read.faults) all += "fault " + fault + "\n";
  for (const std::string& warning : read.warnings) all += "warning " + warning + "\n";
  return all;
}

}  // namespace

TEST_CASE("Descriptor: relationships as VMware's tools write them are well", "[vib]") {
  CHECK(findings_in("") == "");
  CHECK(findings_in("<depends/><conflicts/><replaces/><provides/><compatibleWith/>") == "");
  CHECK(findings_in("<depends><constraint name='vmkapi_2_2_0_0'/><constraint name='esx-base' relation='&gt;='"
                    " version='8.0.0-1'/><constraint name='com.vmware.driverAPI-9.2.0.0'/></depends>"
                    "<provides><provide name='thing' version='1.0'/><provide name='other'/></provides>") ==
        "");
  for (const char* relation : {"&lt;&lt;", "&lt;=", "=", "&gt;=", "&gt;&gt;"}) {
    CHECK(findings_in("<replaces><constraint name='old' relation='" + std::string{relation} +
                      "' version='1.0-1'/></replaces>") == "");
  }
}

TEST_CASE("Descriptor: a relationship that no host can read is a fault", "[vib][hostile]") {
  CHECK_THAT(findings_in("<depends><constraint/></depends>"),
             Contains("fault") && Contains("names '' in <depends>"));
  CHECK_THAT(findings_in("<provides><provide version='1.0'/></provides>"),
             Contains("names '' in <provides>"));
  CHECK_THAT(findings_in("<conflicts><constraint name='a b'/></conflicts>"), Contains("names 'a b'"));
  for (const char* relation : {"~~", "==", "&lt;", "&gt;"}) {
    CHECK_THAT(findings_in("<depends><constraint name='esx-base' relation='" + std::string{relation} +
                           "' version='8.0'/></depends>"),
               Contains("fault") && Contains("to 'esx-base'; hosts know <<, <=, =, >= and >>"));
  }
  CHECK_THAT(findings_in("<replaces><constraint name='old' relation='='/></replaces>"),
             Contains("fault") && Contains("a relation alone"));
  CHECK_THAT(findings_in("<replaces><constraint name='old' version='1.0-1'/></replaces>"),
             Contains("fault") && Contains("a version alone"));
  CHECK_THAT(
      findings_in("<compatibleWith><constraint name='x' relation='=' version='1;2'/></compatibleWith>"),
      Contains("fault") && Contains("version '1;2'"));
}

TEST_CASE("Descriptor: relationships and requirements that nobody here knows are warnings", "[vib]") {
  CHECK(findings_in("<foo/>") ==
        "warning descriptor.xml has <foo> in <relationships>, which is not known here; older hosts may "
        "refuse it\n");
  CHECK_THAT(findings_in("<depends><foo/></depends>"),
             Contains("has <foo> in <depends>") && !Contains("fault"));
  CHECK_THAT(findings_in("<provides><name>thing</name></provides>"),
             Contains("has <name> in <provides>") && !Contains("fault"));
  CHECK_THAT(findings_in("", kNoMaintenance + "<junk/>"),
             Contains("has <junk> in <system-requires>") && !Contains("fault"));
}

TEST_CASE("Descriptor: what is asked of a host has to be something that hosts know", "[vib][hostile]") {
  const auto platform = [](const std::string& version) {
    return findings_in("", kNoMaintenance + "<softwarePlatform version='" + version +
                               "' locale='' productLineID='embeddedEsx'/>");
  };
  for (const char* version : {"8.0", "8.*", "6.7.0", "9"}) CHECK(platform(version) == "");
  for (const char* version : {"", "abc", "8.", ".8", "*", "8.0-1", "8.0.0.0.0", "8.**"})
    CHECK_THAT(platform(version), Contains("fault") && Contains("those like 8.0 and 8.*"));
  CHECK_THAT(findings_in("", kNoMaintenance + "<softwarePlatform version='8.0' productLineID='other'/>"),
             Contains("warning") && Contains("product 'other'") && !Contains("fault"));
  CHECK_THAT(findings_in("", ""),
             Contains("warning") && Contains("lacks <maintenance-mode>") && !Contains("fault"));
  CHECK_THAT(findings_in("", "<maintenance-mode>perhaps</maintenance-mode>"),
             Contains("fault") && Contains("perhaps"));
  CHECK_THAT(findings_in("", kNoMaintenance + kNoMaintenance), Contains("fault") && Contains("twice"));
}
