// An online depot as files, and the same tree as a zip, the offline bundle. What esxcli reads with -d and -v.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "firewall-vib/archive.hpp"
#include "firewall-vib/vib.hpp"

namespace culvert::firewall {

/// Short names at the root of an online depot, the same in every version.
constexpr std::string_view kDepotVib = "culvert-firewall.vib";
constexpr std::string_view kDepotBundle = "culvert-firewall-bundle.zip";
constexpr std::string_view kDepotIndex = "index.xml";

/// index.xml, vendor-index.xml, metadata.zip and vib20/NAME/ID.vib, zipped in this order. All references are
/// relative.
/// @error InternalError when libarchive cannot.
Result<std::string> offline_bundle(const BuiltVib& vib);

/// The same tree as files under a web root, with the VIB and the bundle under short names beside it.
Result<std::vector<Member>> online_depot(const BuiltVib& vib);

/// Writes the files below `directory`, all or none: it appears complete, or not at all.
/// @error AlreadyExists when `directory` exists; DiskFull, IoFailed.
Result<void> save_depot(const std::filesystem::path& directory, const std::vector<Member>& files);

}  // namespace culvert::firewall
