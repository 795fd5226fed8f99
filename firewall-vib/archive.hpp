// ar, tar.gz and zip in memory, on libarchive, which appears in archive.cpp alone. The same members give the
// same bytes: no time, owner or locale of this machine goes in.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tunnel-core/base/result.hpp"

namespace culvert::firewall {

struct Member {
  std::string name;
  std::string content;
};

/// ar as VMware's tools write it: names padded with blanks, times and owners 0.
/// @param members  names of at most 15 characters.
Result<std::string> write_ar(const std::vector<Member>& members);
/// gzip of a ustar archive: files of mode 0644 that root owns.
Result<std::string> write_tgz(const std::vector<Member>& members);
/// Each member under its path, in this order.
Result<std::string> write_zip(const std::vector<Member>& members);

/// What reading may cost, whatever the file says.
struct ReadLimits {
  std::size_t members = 4096;
  std::uint64_t bytes = std::uint64_t{1} << 31;  ///< Of all members together, unpacked.
  std::size_t kept = std::size_t{1} << 20;       ///< Of one member that is kept in memory.
};

/// @error ReplyInvalid: no ar archive, cut short, or beyond the limits.
Result<std::vector<Member>> read_ar(std::string_view bytes, const ReadLimits& limits);

/// One entry of a tar archive. Times are left out: nobody asks for them.
struct TarEntry {
  std::string path;
  enum class Kind { File, Directory, Link, Other } kind = Kind::File;
  unsigned mode = 0;  ///< Permission bits with sticky, setuid and setgid.
  std::int64_t uid = 0;
  std::int64_t gid = 0;
  std::uint64_t size = 0;
  std::string content;  ///< Empty when it is larger than ReadLimits::kept.
};

/// @error ReplyInvalid: no gzip, no tar, cut short, or beyond the limits.
Result<std::vector<TarEntry>> read_tgz(std::string_view bytes, const ReadLimits& limits);

/// Unpacks gzip, a piece at a time.
/// @error ReplyInvalid: no gzip, cut short, something but zeros behind its end, or beyond limits.bytes.
Result<void> gunzip(std::string_view bytes, const ReadLimits& limits,
                    const std::function<void(std::string_view)>& piece);

}  // namespace culvert::firewall
