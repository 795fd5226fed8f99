// descriptor.xml of a VIB: what it is, what it needs, and the checksums that protect its payloads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tunnel-core/base/result.hpp"

namespace culvert::firewall {

struct Checksum {
  std::string type;            ///< "sha-256", "sha-1".
  std::string verify_process;  ///< "gunzip": of the unpacked payload; empty: of the bytes as stored.
  std::string value;           ///< Lower-case hexadecimal.

  friend bool operator==(const Checksum&, const Checksum&) = default;
};

struct Payload {
  std::string name;  ///< The member of the ar archive; see is_payload_name().
  std::string type;  ///< "tgz", "vgz", "vzstd".
  std::uint64_t size = 0;
  std::vector<Checksum> checksums;
};

struct Constraint {
  std::string name;
  std::string relation;  ///< "", "<<", "<=", "=", ">=", ">>".
  std::string version;
};

/// The fields in the order of the file.
struct Descriptor {
  std::string type = "bootbank";
  std::string name;
  std::string version;
  std::string vendor;
  std::string summary;
  std::string description;
  std::string release_date;  ///< ISO 8601 with an offset.
  std::vector<Constraint> replaces;
  std::vector<std::string> tags;
  bool maintenance_mode = false;
  std::vector<std::string> files;              ///< Without leading slash, no directories.
  std::string acceptance_level = "community";  ///< certified, accepted, partner, community.
  bool live_install_allowed = true;
  bool live_remove_allowed = true;
  bool cimom_restart = false;
  bool stateless_ready = true;
  bool overlay = false;
  std::vector<Payload> payloads;

  /// `vendor_type_name_version`.
  std::string id() const;
};

/// Where a depot keeps a VIB; its metadata repeats the descriptor with this.
struct DepotPlace {
  std::string relative_path;
  std::uint64_t packed_size = 0;
  std::string sha256;
};

/// One line without declaration, as VMware's tools write it.
std::string descriptor_xml(const Descriptor& descriptor, const DepotPlace* place = nullptr);

struct ReadDescriptor {
  Descriptor descriptor;
  std::vector<std::string> faults;    ///< What a host would refuse or stumble over, one sentence each.
  std::vector<std::string> warnings;  ///< What other descriptors have and this one lacks.
};

/// @param xml  anything of at most kMaxDescriptor bytes.
/// @error ReplyInvalid: no XML, or no vib element. All else is a fault.
Result<ReadDescriptor> read_descriptor(std::string_view xml);

/// Letters, digits, dots, - and _, at most 60: it stands in paths and commands.
bool is_vib_name(std::string_view text);
/// 1 to 8 of a-z, 0-9, - and _: it becomes the name of a file on the FAT of the boot bank.
bool is_payload_name(std::string_view text);
/// ISO 8601 with a time, and a day and a time that there are.
bool is_date(std::string_view text, bool offset_required);

constexpr std::size_t kMaxDescriptor = std::size_t{4} << 20;  ///< esx-base lists some ten thousand files.

}  // namespace culvert::firewall
