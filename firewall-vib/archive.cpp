#include "firewall-vib/archive.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace culvert::firewall {

namespace {

struct FreeArchive {
  void operator()(archive* a) const { archive_free(a); }
};
struct FreeEntry {
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};
using ArchivePtr = std::unique_ptr<archive, FreeArchive>;
using EntryPtr = std::unique_ptr<archive_entry, FreeEntry>;

// ---- writing

Error write_error(archive* a) {
  const char* why = archive_error_string(a);
  return {Errc::InternalError, fmt::format("cannot pack an archive: {}", why == nullptr ? "no memory" : why)};
}

la_ssize_t append(archive*, void* out, const void* bytes, std::size_t size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), size);
  return static_cast<la_ssize_t>(size);
}

/// Opens, writes every member, closes. `prepare` chooses the format.
Result<std::string> write_archive(const std::vector<Member>& members, bool with_time,
                                  const std::function<int(archive*)>& prepare) {
  std::string out;
  const ArchivePtr a{archive_write_new()};
  if (!a || prepare(a.get()) != ARCHIVE_OK ||
      archive_write_open(a.get(), &out, nullptr, append, nullptr) != ARCHIVE_OK)
    return write_error(a.get());
  for (const Member& member : members) {
    const EntryPtr entry{archive_entry_new()};
    archive_entry_set_pathname(entry.get(), member.name.c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_uid(entry.get(), 0);
    archive_entry_set_gid(entry.get(), 0);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(member.content.size()));
    if (with_time) archive_entry_set_mtime(entry.get(), 0, 0);
    if (archive_write_header(a.get(), entry.get()) != ARCHIVE_OK) return write_error(a.get());
    const auto size = static_cast<la_ssize_t>(member.content.size());
    if (size > 0 && archive_write_data(a.get(), member.content.data(), member.content.size()) != size)
      return write_error(a.get());
  }
  if (archive_write_close(a.get()) != ARCHIVE_OK) return write_error(a.get());
  return out;
}

// ---- reading

Error read_error(archive* a, std::string_view what) {
  const char* why = archive_error_string(a);
  return {Errc::ReplyInvalid,
          fmt::format("{} cannot be read: {}", what, why == nullptr ? "it is empty" : why)};
}

Error limit_error(std::string_view what, std::string_view limit) {
  return {Errc::ReplyInvalid, fmt::format("{} holds more than {}; it is not read further", what, limit)};
}

Result<ArchivePtr> open_archive(std::string_view bytes, std::string_view what,
                                const std::function<int(archive*)>& prepare) {
  ArchivePtr a{archive_read_new()};
  if (!a || prepare(a.get()) != ARCHIVE_OK ||
      archive_read_open_memory(a.get(), bytes.data(), bytes.size()) != ARCHIVE_OK)
    return read_error(a.get(), what);
  return a;
}

/// Gives the data of the present entry to `piece`, and counts it against the budget of the whole archive.
Result<void> read_data(archive* a, std::string_view what, std::uint64_t& budget,
                       const std::function<void(std::string_view)>& piece) {
  std::string buffer(65536, '\0');
  for (;;) {
    const la_ssize_t n = archive_read_data(a, buffer.data(), buffer.size());
    if (n == 0) return {};
    // A warning is not data either: what cannot be read exactly is broken.
    if (n < 0) return read_error(a, what);
    if (static_cast<std::uint64_t>(n) > budget) return limit_error(what, "its share of memory");
    budget -= static_cast<std::uint64_t>(n);
    piece({buffer.data(), static_cast<std::size_t>(n)});
  }
}

TarEntry::Kind kind_of(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return TarEntry::Kind::Link;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return TarEntry::Kind::File;
    case AE_IFDIR:
      return TarEntry::Kind::Directory;
    case AE_IFLNK:
      return TarEntry::Kind::Link;
    default:
      return TarEntry::Kind::Other;
  }
}

std::string path_of(archive_entry* entry) {
  const char* path = archive_entry_pathname(entry);
  return path == nullptr ? "" : path;
}

/// @return false at the end of the archive.
Result<bool> next_entry(archive* a, archive_entry*& entry, std::string_view what) {
  const int status = archive_read_next_header(a, &entry);
  if (status == ARCHIVE_EOF) return false;
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return read_error(a, what);
  return true;
}

}  // namespace

Result<std::string> write_ar(const std::vector<Member>& members) {
  return write_archive(members, true, [](archive* a) {
    archive_write_set_bytes_per_block(a, 0);
    return archive_write_set_format_ar_bsd(a);
  });
}

Result<std::string> write_tgz(const std::vector<Member>& members) {
  return write_archive(members, true, [](archive* a) {
    if (archive_write_add_filter_gzip(a) != ARCHIVE_OK) return ARCHIVE_FATAL;
    if (archive_write_set_filter_option(a, "gzip", "timestamp", nullptr) != ARCHIVE_OK) return ARCHIVE_FATAL;
    archive_write_set_bytes_in_last_block(a, 1);
    return archive_write_set_format_ustar(a);
  });
}

Result<std::string> write_zip(const std::vector<Member>& members) {
  // A time would be written as this machine's local time.
  return write_archive(members, false, [](archive* a) {
    archive_write_set_bytes_in_last_block(a, 1);
    return archive_write_set_format_zip(a);
  });
}

Result<std::vector<Member>> read_ar(std::string_view bytes, const ReadLimits& limits) {
  constexpr std::string_view kWhat = "the ar archive";
  auto a = open_archive(bytes, kWhat, archive_read_support_format_ar);
  if (!a) return std::move(a).error();
  std::vector<Member> members;
  std::uint64_t budget = limits.bytes;
  archive_entry* entry = nullptr;
  for (;;) {
    const auto more = next_entry(a->get(), entry, kWhat);
    if (!more) return more.error();
    if (!*more) return members;
    if (members.size() == limits.members)
      return limit_error(kWhat, fmt::format("{} members", limits.members));
    Member member{path_of(entry), {}};
    auto read = read_data(a->get(), kWhat, budget, [&](std::string_view piece) { member.content += piece; });
    if (!read) return std::move(read).error();
    members.push_back(std::move(member));
  }
}

Result<std::vector<TarEntry>> read_tgz(std::string_view bytes, const ReadLimits& limits) {
  constexpr std::string_view kWhat = "the tar archive";
  auto a = open_archive(bytes, kWhat, [](archive* opened) {
    const int filter = archive_read_support_filter_gzip(opened);
    return filter == ARCHIVE_OK ? archive_read_support_format_tar(opened) : filter;
  });
  if (!a) return std::move(a).error();
  std::vector<TarEntry> entries;
  std::uint64_t budget = limits.bytes;
  archive_entry* entry = nullptr;
  for (;;) {
    const auto more = next_entry(a->get(), entry, kWhat);
    if (!more) return more.error();
    if (!*more) return entries;
    if (entries.size() == limits.members)
      return limit_error(kWhat, fmt::format("{} entries", limits.members));
    TarEntry read;
    read.path = path_of(entry);
    read.kind = kind_of(entry);
    read.mode = archive_entry_mode(entry) & 07777u;
    read.uid = archive_entry_uid(entry);
    read.gid = archive_entry_gid(entry);
    std::uint64_t size = 0;
    auto data = read_data(a->get(), kWhat, budget, [&](std::string_view piece) {
      size += piece.size();
      if (size <= limits.kept) read.content += piece;
    });
    if (!data) return std::move(data).error();
    read.size = size;
    if (size > limits.kept) read.content.clear();
    entries.push_back(std::move(read));
  }
}

Result<void> gunzip(std::string_view bytes, const ReadLimits& limits,
                    const std::function<void(std::string_view)>& piece) {
  constexpr std::string_view kWhat = "the gzip file";
  if (bytes.size() < 2 || !bytes.starts_with("\x1f\x8b"))
    return Error{Errc::ReplyInvalid, "the gzip file cannot be read: it is none"};
  auto a = open_archive(bytes, kWhat, [](archive* opened) {
    const int filter = archive_read_support_filter_gzip(opened);
    return filter == ARCHIVE_OK ? archive_read_support_format_raw(opened) : filter;
  });
  if (!a) return std::move(a).error();
  archive_entry* entry = nullptr;
  std::uint64_t budget = limits.bytes;
  const auto found = next_entry(a->get(), entry, kWhat);
  if (!found) return found.error();
  if (*found) {
    if (auto read = read_data(a->get(), kWhat, budget, piece); !read) return read;
  }
  // Counted at the outermost filter: what the decompressor took.
  const auto taken = static_cast<std::size_t>(archive_filter_bytes(a->get(), -1));
  const std::string_view rest = bytes.substr(std::min(taken, bytes.size()));
  if (rest.find_first_not_of('\0') == std::string_view::npos) return {};
  return Error{Errc::ReplyInvalid, fmt::format("the gzip file has {} bytes behind its end", rest.size())};
}

}  // namespace culvert::firewall
