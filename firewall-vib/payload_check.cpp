#include "firewall-vib/payload_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "firewall-vib/digest.hpp"
#include "firewall-vib/xml_text.hpp"

namespace culvert::firewall {

namespace {

constexpr std::string_view kRulesetFolder = "etc/vmware/firewall/";
constexpr std::size_t kTarHeader = 512;
constexpr std::size_t kMagicAt = 257;  ///< Where other tars have "ustar".
constexpr std::string_view kVisorMagic{"visor  \0", 8};
constexpr std::string_view kPlainMagic = "ustar";

/// Where a VIB of the level community may put files; elsewhere a host wants --force.
constexpr std::array<std::string_view, 15> kCommunityFolders{"etc/vmware/shutdown/shutdown/",
                                                             "etc/vmware/pciid/",
                                                             "etc/vmware/vm-support/",
                                                             "etc/vmware/firewall/",
                                                             "etc/vmware/service/",
                                                             "etc/cim/openwsman/",
                                                             "opt/",
                                                             "usr/lib/cim/",
                                                             "usr/lib/pycim/",
                                                             "usr/lib/hostprofiles/plugins/",
                                                             "usr/lib/vmware/",
                                                             "usr/lib/vmware-debug/",
                                                             "var/lib/sfcb/registration/",
                                                             "etc/vmware/driver.map.d/",
                                                             "usr/share/hwdata/driver.pciids.d/"};

class PayloadExaminer {
 public:
  PayloadExaminer(const Payload& payload, const std::string& stored, VibReport& report)
      : payload_(payload), stored_(stored), report_(report) {}

  void examine() {
    if (payload_.size != stored_.size()) {
      fault(fmt::format("has {} bytes, but the descriptor says {}", stored_.size(), payload_.size));
    }
    check_sums();
    if (unpacked_ && check_sort() && payload_.type == "tgz") list_files();
    report_.payloads.push_back(std::move(out_));
  }

 private:
  void add(Finding::Weight weight, const std::string& text) {
    if (report_.findings.size() < kMaxFaults)
      report_.findings.push_back({weight, fmt::format("payload '{}' {}", shown_xml(payload_.name), text)});
  }
  void fault(const std::string& text) { add(Finding::Weight::Fault, text); }
  void warn(const std::string& text) { add(Finding::Weight::Warning, text); }

  void check_sums() {
    out_.described = payload_;
    out_.present = true;
    Digest sha256{DigestKind::Sha256};
    Digest sha1{DigestKind::Sha1};
    const auto done = gunzip(stored_, {}, [&](std::string_view piece) {
      out_.unpacked_size += piece.size();
      head_ += piece.substr(0, kTarHeader - head_.size());
      sha256.add(piece);
      sha1.add(piece);
    });
    unpacked_ = done.has_value();
    const std::string unpacked256 = sha256.hex();
    const std::string unpacked1 = sha1.hex();
    if (!unpacked_ && payload_.type != "vzstd")
      fault(fmt::format("cannot be unpacked: {}", done.error().message()));
    bool has_gunzip256 = false;
    bool has_stored256 = false;
    bool has_gunzip1 = false;
    for (const Checksum& sum : payload_.checksums) {
      if (sum.type == "sha-256" && sum.verify_process == "gunzip") {
        has_gunzip256 = true;
        compare(sum, unpacked256, unpacked_);
      } else if (sum.type == "sha-256" && sum.verify_process.empty()) {
        has_stored256 = true;
        compare(sum, sha256_hex(stored_), true);
      } else if (sum.type == "sha-1" && sum.verify_process == "gunzip") {
        has_gunzip1 = true;
        compare(sum, unpacked1, unpacked_);
      } else {
        warn(fmt::format("has a checksum '{}'{}, which is not checked here", shown_xml(sum.type),
                         sum.verify_process.empty() ? "" : " (" + shown_xml(sum.verify_process) + ")"));
      }
    }
    if (!has_gunzip256)
      fault("has no sha-256 checksum of its unpacked bytes (gunzip); ESXi 8 and later refuse it");
    if (payload_.type == "vzstd") return;  // Of newer hosts alone, which have sums of their own for it.
    if (!has_stored256) warn("has no sha-256 checksum of its stored bytes");
    if (!has_gunzip1)
      warn("has no sha-1 checksum of its unpacked bytes (gunzip), which older hosts look for");
  }

  void compare(const Checksum& sum, const std::string& found, bool computed) {
    if (!computed || sum.value == found) return;
    fault(fmt::format("does not have the {}{} checksum that the descriptor says", sum.type,
                      sum.verify_process.empty() ? "" : " " + sum.verify_process));
  }

  /// Visor tars, which ESXi made for itself, have the contents of their files in another place than others:
  /// whoever takes one for the other reads something else.
  /// @return whether the tar is of the sort that the type says.
  bool check_sort() {
    const std::string_view magic =
        head_.size() == kTarHeader ? std::string_view{head_}.substr(kMagicAt) : std::string_view{};
    // VMware's visor tars are mostly compressed once more, by xz or others: what that holds is not looked
    // into.
    if (payload_.type == "vgz" && magic.starts_with(kPlainMagic)) {
      fault("is called vgz, but what it holds is no visor tar; a plain tar is called tgz");
      return false;
    }
    const bool visor_called_tgz = payload_.type == "tgz" && magic.starts_with(kVisorMagic);
    if (visor_called_tgz) fault("is called tgz, but holds a visor tar, which is called vgz");
    return !visor_called_tgz;
  }

  void list_files() {
    auto entries = read_tgz(stored_, {});
    if (!entries) return fault(fmt::format("cannot be listed: {}", entries.error().message()));
    out_.listed = true;
    std::set<std::string> paths;
    for (TarEntry& entry : *entries) {
      if (entry.path.starts_with("./")) entry.path.erase(0, 2);
      if (!paths.insert(entry.path).second) fault(fmt::format("has '{}' twice", shown_xml(entry.path)));
      check_entry(entry);
      entry.content.clear();
      out_.entries.push_back(std::move(entry));
    }
  }

  void check_entry(const TarEntry& entry) {
    const std::string path = shown_xml(entry.path);
    if (entry.path.starts_with("/") || ("/" + entry.path + "/").find("/../") != std::string::npos)
      fault(fmt::format("has the path '{}', which leaves its place", path));
    if (entry.uid != 0 || entry.gid != 0) warn(fmt::format("has '{}', which root does not own", path));
    check_mode(entry, path);
    if (entry.kind == TarEntry::Kind::Directory) return;
    if (entry.kind != TarEntry::Kind::File) warn(fmt::format("has '{}', which is no plain file", path));
    check_place(entry.path);
    if (!entry.path.starts_with(kRulesetFolder) || !entry.path.ends_with(".xml")) return;
    if (entry.content.empty() && entry.size > 0)
      return fault(fmt::format("has '{}', which is too large", path));
    ReadRulesets rulesets = read_rulesets(entry.content);
    for (const std::string& text : rulesets.faults)
      fault(fmt::format("has '{}', which is no ruleset: {}", path, text));
    for (Ruleset& ruleset : rulesets.rulesets) {
      const bool known = std::any_of(report_.rulesets.begin(), report_.rulesets.end(),
                                     [&](const Ruleset& other) { return other.id == ruleset.id; });
      if (known)
        fault(fmt::format("has '{}' with the ruleset '{}', which another file has already", path,
                          shown_xml(ruleset.id)));
      report_.rulesets.push_back(std::move(ruleset));
    }
  }

  /// Files are usually 0644 or 0444, programs 0755 or 0555, directories 0755.
  void check_mode(const TarEntry& entry, const std::string& path) {
    if (entry.kind == TarEntry::Kind::Link) return;  // Its mode means nothing.
    const bool directory = entry.kind == TarEntry::Kind::Directory;
    if ((entry.mode & 06000u) != 0) fault(fmt::format("has '{}' with setuid or setgid", path));
    if (!directory && (entry.mode & 01000u) != 0)
      warn(fmt::format("has '{}' with the sticky bit, which makes it changeable configuration", path));
    const unsigned mode = entry.mode & 0777u;
    if ((mode & 0002u) != 0)
      return fault(fmt::format("has '{}', which anybody may write ({:04o})", path, entry.mode));
    if ((mode & 0400u) == 0)
      return fault(fmt::format("has '{}', which its owner may not read ({:04o})", path, entry.mode));
    const bool ruleset = entry.path.starts_with(kRulesetFolder) && !directory;
    const bool usual = directory
                           ? mode == 0755u || mode == 0555u
                           : mode == 0644u || mode == 0444u || (!ruleset && (mode == 0755u || mode == 0555u));
    if (!usual)
      warn(fmt::format("has '{}' with the mode {:04o}; usual are {}", path, entry.mode,
                       directory ? "0755" : "0644 and 0444"));
  }

  void check_place(const std::string& path) {
    if (report_.descriptor.acceptance_level != "community") return;
    const bool allowed = std::any_of(kCommunityFolders.begin(), kCommunityFolders.end(),
                                     [&](std::string_view folder) { return path.starts_with(folder); });
    if (!allowed)
      warn(fmt::format("has '{}', where the level community may not write; hosts want --force",
                       shown_xml(path)));
  }

  const Payload& payload_;
  const std::string& stored_;
  VibReport& report_;
  PayloadReport out_;
  std::string head_;  ///< The first header of the tar.
  bool unpacked_ = false;
};

}  // namespace

void examine_payload(const Payload& payload, const std::string* stored, VibReport& report) {
  if (stored != nullptr) return PayloadExaminer{payload, *stored, report}.examine();
  report.findings.push_back(
      {Finding::Weight::Fault,
       fmt::format("payload '{}' is in the descriptor, but not in the file", shown_xml(payload.name))});
  report.payloads.push_back({payload, false, 0, false, {}});
}

void compare_file_list(VibReport& report) {
  std::set<std::string> held;
  for (const PayloadReport& payload : report.payloads) {
    // What cannot be listed cannot be compared.
    if (!payload.listed) return;
    for (const TarEntry& entry : payload.entries) {
      if (entry.kind != TarEntry::Kind::Directory) held.insert(entry.path);
    }
  }
  const std::set<std::string> listed{report.descriptor.files.begin(), report.descriptor.files.end()};
  const auto differ = [&](const std::set<std::string>& in, const std::set<std::string>& from,
                          const char* what) {
    for (const std::string& path : in) {
      if (from.contains(path) || report.findings.size() >= kMaxFaults) continue;
      report.findings.push_back({Finding::Weight::Fault, fmt::format("'{}' {}", shown_xml(path), what)});
    }
  };
  differ(held, listed, "is in a payload, but not in the file-list of the descriptor");
  differ(listed, held, "is in the file-list of the descriptor, but in no payload");
}

}  // namespace culvert::firewall
