#include "firewall-vib/vib.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <regex>

#include "firewall-vib/archive.hpp"
#include "firewall-vib/digest.hpp"
#include "firewall-vib/ruleset.hpp"

namespace culvert::firewall {

namespace {

constexpr std::string_view kPayload =
    "culvert";  // At most 8 characters: it becomes a module name of the boot bank.

Error usage(std::string text) {
  return {Errc::UsageInvalid, std::move(text)};
}

Result<void> check(const FirewallVib& request, const VibSigner* signer) {
  if (request.ports.empty())
    return usage("a VIB without ports opens nothing; name some with --ports 10000-10010");
  if (request.ports.size() > kMaxPortRanges) {
    return usage(fmt::format("{} ranges of ports are too many for one VIB; join them to at most {}",
                             request.ports.size(), kMaxPortRanges));
  }
  if (!is_vib_version(request.version)) {
    return usage(
        fmt::format("'{}' is no version of a VIB; write it like 1.0.0-1", request.version.substr(0, 60)));
  }
  if (!is_date(request.release_date, /*offset_required=*/true)) {
    return usage(fmt::format("'{}' is no release date; write it like 2026-11-21T00:00:00+00:00",
                             request.release_date.substr(0, 60)));
  }
  if (!is_acceptance_level(request.acceptance_level)) {
    return usage(fmt::format("'{}' is no acceptance level; it is certified, accepted, partner or community",
                             request.acceptance_level.substr(0, 60)));
  }
  if (signer == nullptr && request.acceptance_level != "community") {
    return usage(fmt::format("the acceptance level {} needs a signature; give --key and --certificate",
                             request.acceptance_level));
  }
  if (signer != nullptr && request.acceptance_level == "community") {
    return usage(
        "a VIB of the level community is not signed; leave --key and --certificate away, or name another "
        "level");
  }
  for (const std::string& name : request.replaces) {
    if (name == kVibName)
      return usage(fmt::format("{} is this VIB itself; a newer version takes its place anyway", name));
    if (!is_vib_name(name))
      return usage(fmt::format("'{}' is no name of a VIB to replace", name.substr(0, 60)));
  }
  return {};
}

Result<Payload> describe_payload(std::string_view packed) {
  Digest unpacked_sha256{DigestKind::Sha256};
  Digest unpacked_sha1{DigestKind::Sha1};
  auto done = gunzip(packed, {}, [&](std::string_view piece) {
    unpacked_sha256.add(piece);
    unpacked_sha1.add(piece);
  });
  if (!done) return std::move(done).error();
  // The first is what ESXi 8 insists on, the last is for older hosts.
  return Payload{std::string{kPayload},
                 "tgz",
                 packed.size(),
                 {{"sha-256", "gunzip", unpacked_sha256.hex()},
                  {"sha-256", "", sha256_hex(packed)},
                  {"sha-1", "gunzip", unpacked_sha1.hex()}}};
}

Descriptor describe(const FirewallVib& request) {
  Descriptor descriptor;
  descriptor.name = kVibName;
  descriptor.version = request.version;
  descriptor.vendor = kVibVendor;
  descriptor.summary = "Firewall ruleset for replication through Culvert";
  descriptor.description = fmt::format(
      "Opens outgoing TCP {} on this host, so that it reaches the replication ports of a Culvert agent.",
      ports_text(request.ports));
  descriptor.release_date = request.release_date;
  for (const std::string& name : request.replaces) descriptor.replaces.push_back({name, "", ""});
  descriptor.files = {ruleset_path(kRulesetId)};
  descriptor.acceptance_level = request.acceptance_level;
  return descriptor;
}

}  // namespace

bool is_vib_version(std::string_view text) {
  static const std::regex kVersion{
      "[0-9A-Za-z]{1,20}(\\.[0-9A-Za-z]{1,20}){0,3}-[0-9A-Za-z]{1,20}(\\.[0-9A-Za-z]{1,20}){0,4}"};
  return text.size() <= 60 && std::regex_match(text.begin(), text.end(), kVersion);
}

bool is_acceptance_level(std::string_view text) {
  constexpr std::array<std::string_view, 4> kLevels{"certified", "accepted", "partner", "community"};
  return std::find(kLevels.begin(), kLevels.end(), text) != kLevels.end();
}

std::string vib_version(unsigned revision) {
  return fmt::format("{}-{}", CULVERT_VERSION, revision);
}

Result<BuiltVib> build_vib(const FirewallVib& request, const VibSigner* signer) {
  if (auto good = check(request, signer); !good) return std::move(good).error();
  BuiltVib vib{describe(request), {}};
  const auto packed = write_tgz({{ruleset_path(kRulesetId), ruleset_xml(kRulesetId, request.ports)}});
  if (!packed) return packed.error();
  auto payload = describe_payload(*packed);
  if (!payload) return std::move(payload).error();
  vib.descriptor.payloads = {std::move(*payload)};
  const std::string xml = descriptor_xml(vib.descriptor);
  std::string signature;
  if (signer != nullptr) {
    auto signed_text = signer->sign(xml);
    if (!signed_text) return std::move(signed_text).error();
    signature = std::move(*signed_text);
  }
  auto bytes =
      write_ar({{"descriptor.xml", xml}, {"sig.pkcs7", signature}, {std::string{kPayload}, *packed}});
  if (!bytes) return std::move(bytes).error();
  vib.bytes = std::move(*bytes);
  return vib;
}

}  // namespace culvert::firewall
