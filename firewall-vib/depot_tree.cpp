#include "firewall-vib/depot_tree.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>

#include "firewall-vib/depot_metadata.hpp"
#include "firewall-vib/digest.hpp"
#include "tunnel-core/daemon/files.hpp"
#include "tunnel-core/daemon/signals.hpp"

namespace culvert::firewall {

namespace {

namespace fs = std::filesystem;

Result<std::vector<Member>> depot_tree(const BuiltVib& vib) {
  const Descriptor& descriptor = vib.descriptor;
  const DepotPlace place{fmt::format("vib20/{}/{}", descriptor.name, vib.file_name()), vib.bytes.size(),
                         sha256_hex(vib.bytes)};
  const std::string vib_metadata = fmt::format("vibs/{}-{}.xml", descriptor.name, sha256_number(vib.bytes));
  auto metadata =
      write_zip({{"vmware.xml", old_metadata_xml(descriptor, place)},
                 {"vendor-index.xml", vendor_index_xml()},
                 {fmt::format("bulletins/{}.xml", bulletin_id(descriptor)), bulletin_xml(descriptor)},
                 {vib_metadata, descriptor_xml(descriptor, &place)}});
  if (!metadata) return std::move(metadata).error();
  return std::vector<Member>{{std::string{kDepotIndex}, depot_index_xml()},
                             {"vendor-index.xml", vendor_index_xml()},
                             {"metadata.zip", std::move(*metadata)},
                             {place.relative_path, vib.bytes}};
}

Error cannot_write(const fs::path& path, int reason) {
  if (reason == ENOSPC || reason == EDQUOT || reason == EFBIG) {
    return {Errc::DiskFull,
            fmt::format("cannot write {}: {}; free some space there and try again, nothing was changed",
                        path.string(), std::strerror(reason))};
  }
  return {Errc::IoFailed, fmt::format("cannot write {}: {}", path.string(), std::strerror(reason))};
}

/// A directory under a name of its own until it is complete; gone when it never was.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const fs::path& final) : final_(final), name_(final.string() + ".tmp-XXXXXX") {}
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (made_) fs::remove_all(name_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  Result<void> make() {
    made_ = ::mkdtemp(name_.data()) != nullptr;
    // A web server of another user has to read it.
    if (!made_ || ::chmod(name_.c_str(), 0755) != 0) return cannot_write(final_, errno);
    return {};
  }

  Result<void> add(const Member& file) {
    const fs::path path = fs::path{name_} / file.name;
    fs::path folder = name_;
    for (const fs::path& part : fs::path{file.name}.parent_path()) {
      folder /= part;
      if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return cannot_write(folder, errno);
    }
    return write_file(path, file.content, 0644);
  }

  Result<void> finish() {
    // Another one may have come into being meanwhile; rename() takes an empty one's place, and that harms
    // nobody.
    if (::rename(name_.c_str(), final_.c_str()) != 0) return cannot_write(final_, errno);
    made_ = false;
    return {};
  }

 private:
  SignalsDeferred no_signal_;
  fs::path final_;
  std::string name_;
  bool made_ = false;
};

}  // namespace

Result<std::string> offline_bundle(const BuiltVib& vib) {
  const auto tree = depot_tree(vib);
  if (!tree) return tree.error();
  return write_zip(*tree);
}

Result<std::vector<Member>> online_depot(const BuiltVib& vib) {
  auto tree = depot_tree(vib);
  if (!tree) return std::move(tree).error();
  auto bundle = write_zip(*tree);
  if (!bundle) return std::move(bundle).error();
  tree->push_back({std::string{kDepotVib}, vib.bytes});
  tree->push_back({std::string{kDepotBundle}, std::move(*bundle)});
  return tree;
}

Result<void> save_depot(const fs::path& directory, const std::vector<Member>& files) {
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(directory, ignored))) {
    return Error{Errc::AlreadyExists,
                 fmt::format("{} exists; name a directory that does not, and put it in place of the old one",
                             directory.string())};
  }
  fs::path plain = directory;
  if (!plain.has_filename()) plain = plain.parent_path();  // "depot/" is "depot".
  TemporaryDirectory temporary{plain};
  if (auto made = temporary.make(); !made) return made;
  for (const Member& file : files) {
    if (auto added = temporary.add(file); !added) return added;
  }
  return temporary.finish();
}

}  // namespace culvert::firewall
