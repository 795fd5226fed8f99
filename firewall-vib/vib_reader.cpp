#include "firewall-vib/vib_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "firewall-vib/ar_check.hpp"
#include "firewall-vib/payload_check.hpp"
#include "firewall-vib/vib.hpp"
#include "firewall-vib/xml_text.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert::firewall {

namespace {

namespace fs = std::filesystem;

class VibExaminer {
 public:
  VibExaminer(const std::vector<Member>& members, std::optional<std::string> archive_fault,
              std::string_view roots)
      : members_(members), archive_fault_(std::move(archive_fault)), roots_(roots) {}

  Result<VibReport> examine() {
    check_members();
    const Member* const descriptor = find("descriptor.xml");
    if (descriptor == nullptr)
      return Error{Errc::ReplyInvalid, "this is no VIB: its ar archive has no descriptor.xml"};
    auto read = read_descriptor(descriptor->content);
    if (!read) return std::move(read).error();
    report_.descriptor = std::move(read->descriptor);
    for (std::string& text : read->faults) fault(std::move(text));
    for (std::string& text : read->warnings) warn(std::move(text));
    check_descriptor();
    check_payloads();
    check_signature_of(descriptor->content);
    for (const Payload& payload : report_.descriptor.payloads) {
      const Member* const stored = find(payload.name);
      examine_payload(payload, stored == nullptr ? nullptr : &stored->content, report_);
    }
    compare_file_list(report_);
    return std::move(report_);
  }

 private:
  void add(Finding::Weight weight, std::string text) {
    if (report_.findings.size() < kMaxFaults) report_.findings.push_back({weight, std::move(text)});
  }
  void fault(std::string text) { add(Finding::Weight::Fault, std::move(text)); }
  void warn(std::string text) { add(Finding::Weight::Warning, std::move(text)); }

  const Member* find(std::string_view name) const {
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [&](const Member& member) { return member.name == name; });
    return found == members_.end() ? nullptr : &*found;
  }

  void check_members() {
    if (archive_fault_) fault("the archive " + *archive_fault_);
    std::set<std::string_view> seen;
    for (const Member& member : members_) {
      if (!seen.insert(member.name).second)
        fault(fmt::format("the archive has '{}' twice", shown_xml(member.name)));
    }
    if (members_.size() < 3 || members_[0].name != "descriptor.xml" || members_[1].name != "sig.pkcs7")
      fault("the archive does not begin with descriptor.xml and sig.pkcs7, followed by a payload");
  }

  void check_descriptor() {
    const Descriptor& vib = report_.descriptor;
    if (!vib.version.empty() && !is_vib_version(vib.version))
      fault(fmt::format("the version '{}' is none; hosts take X.Y.Z-A", shown_xml(vib.version)));
    if (!vib.acceptance_level.empty() && !is_acceptance_level(vib.acceptance_level))
      fault(fmt::format("the acceptance level '{}' is none; it is certified, accepted, partner or community",
                        shown_xml(vib.acceptance_level)));
  }

  void check_payloads() {
    std::set<std::string> names{"descriptor.xml", "sig.pkcs7"};
    for (const Payload& payload : report_.descriptor.payloads) {
      const std::string name = shown_xml(payload.name);
      if (!is_payload_name(payload.name))
        fault(fmt::format("payload '{}' is no name for one; it has to be 1 to 8 of a-z, 0-9, - and _", name));
      if (!names.insert(payload.name).second) fault(fmt::format("payload '{}' is there twice", name));
      check_type(payload, name);
    }
    for (const Member& member : members_) {
      if (!names.contains(member.name))
        fault(
            fmt::format("the archive has '{}', which the descriptor does not name", shown_xml(member.name)));
    }
  }

  void check_type(const Payload& payload, const std::string& name) {
    constexpr std::array<std::string_view, 3> kArchives{"tgz", "vgz", "vzstd"};
    // Kernels, boot loaders and installers, in packages of VMware's own.
    constexpr std::array<std::string_view, 5> kBoot{"boot", "boot_com32_bin", "boot_loader_efi", "insz",
                                                    "upgrade"};
    const auto among = [&](const auto& types) {
      return std::find(types.begin(), types.end(), payload.type) != types.end();
    };
    if (among(kArchives)) return;
    if (among(kBoot)) {
      return warn(
          fmt::format("payload '{}' is of the type '{}', which is not looked into", name, payload.type));
    }
    fault(fmt::format("payload '{}' is of the type '{}'; hosts know tgz, vgz and, the newer ones, vzstd",
                      name, shown_xml(payload.type)));
  }

  void check_signature_of(const std::string& descriptor) {
    const Member* const signature = find("sig.pkcs7");
    report_.is_signed = signature != nullptr && !signature->content.empty();
    const bool community = report_.descriptor.acceptance_level == "community";
    if (!report_.is_signed) {
      if (!community) {
        fault(fmt::format("it is not signed, but wants the acceptance level '{}'",
                          shown_xml(report_.descriptor.acceptance_level)));
      } else if (!roots_.empty()) {
        fault("it is not signed, and a signature was asked for");
      }
      return;
    }
    if (community) warn("it is signed, although the level community needs no signature");
    auto checked = check_signature(signature->content, descriptor, roots_);
    if (!checked) return fault(checked.error().message());
    if (checked->digest != "SHA256")
      warn(fmt::format("sig.pkcs7 signs with {}; VMware's tools use SHA256", checked->digest));
    if (!checked->chain_checked)
      warn(fmt::format("who signed it ('{}') was not checked; name the roots with --trust",
                       shown_xml(checked->signer)));
    report_.signature = std::move(*checked);
  }

  const std::vector<Member>& members_;
  std::optional<std::string> archive_fault_;
  std::string_view roots_;
  VibReport report_;
};

}  // namespace

bool VibReport::has_faults() const {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return finding.weight == Finding::Weight::Fault; });
}

Result<std::string> read_vib_file(const fs::path& path) {
  std::error_code failed;
  const auto status = fs::status(path, failed);
  if (status.type() == fs::file_type::not_found)
    return Error{Errc::NotFound, fmt::format("{} does not exist; name a .vib file", path.string())};
  if (!fs::is_regular_file(status))
    return Error{Errc::ReplyInvalid, fmt::format("{} is no regular file; give a .vib file", path.string())};
  const auto size = fs::file_size(path, failed);
  if (!failed && size == 0)
    return Error{Errc::ReplyInvalid, fmt::format("{} is empty; it is no VIB", path.string())};
  if (!failed && size > kMaxVib) {
    return Error{Errc::ReplyInvalid, fmt::format("{} is larger than any VIB ({} bytes, at most {})",
                                                 path.string(), size, kMaxVib)};
  }
  return read_file(path);
}

Result<VibReport> examine_vib(std::string_view bytes, std::string_view roots_pem) {
  if (!bytes.starts_with("!<arch>\n"))
    return Error{Errc::ReplyInvalid, "this is no VIB: it does not begin like an ar archive"};
  ReadLimits limits;
  limits.members = 64;
  limits.bytes = kMaxVib;
  auto members = read_ar(bytes, limits);
  if (!members) return std::move(members).error().at("read", "VIB");
  return VibExaminer{*members, ar_fault(bytes), roots_pem}.examine();
}

}  // namespace culvert::firewall
