// Our VIB: one ESXi firewall ruleset that opens the agent's ports. Same input, same bytes.
#pragma once

#include <string>

#include "firewall-vib/descriptor.hpp"
#include "firewall-vib/port_range.hpp"
#include "firewall-vib/signature.hpp"

namespace culvert::firewall {

constexpr std::string_view kVibName = "culvert-firewall";
constexpr std::string_view kVibVendor = "Culvert";
/// When the rules of this version were written. Not today: the same input has to give the same bytes.
constexpr std::string_view kReleaseDate = "2026-11-21T00:00:00.000000+00:00";

struct FirewallVib {
  PortRanges ports;                        ///< What ESXi hosts may connect to.
  std::string version;                     ///< X[.Y[.Z]]-A[.B[.C]]; has to rise for a host to take an update.
  std::string release_date{kReleaseDate};  ///< ISO 8601 with an offset.
  std::string acceptance_level{"community"};  ///< Without a signer only community.
  std::vector<std::string> replaces;          ///< Names of VIBs that go when this one comes.
};

struct BuiltVib {
  Descriptor descriptor;
  std::string bytes;

  std::string id() const { return descriptor.id(); }
  std::string file_name() const { return id() + ".vib"; }
};

/// The version of a VIB whose rules changed `revision` times: "0.1.0-3".
std::string vib_version(unsigned revision);

/// @param signer  null for CommunitySupported.
/// @error UsageInvalid: no ports, or too many ranges; a version, date, level or name that hosts refuse; a
/// level above
///        community without a signer.
Result<BuiltVib> build_vib(const FirewallVib& request, const VibSigner* signer);

/// What hosts take as a version. Letters are allowed in both parts.
bool is_vib_version(std::string_view text);
/// certified, accepted, partner, community.
bool is_acceptance_level(std::string_view text);

}  // namespace culvert::firewall
