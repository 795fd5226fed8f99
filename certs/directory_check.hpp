// Looks through a directory of keys and certificates for what will bite, or already does.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "certs/utc_time.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::certs {

struct Finding {
  enum class Severity { Warning, Problem };  ///< A warning still works today.
  Severity severity;
  std::filesystem::path file;
  std::string message;  ///< What is wrong and what to do, without the file's name.
};

struct DirectoryReport {
  std::size_t keys = 0;
  std::size_t certificates = 0;  ///< In all files together.
  std::vector<Finding> findings;

  bool healthy() const;  ///< No Problem among the findings.
};

/// Looks at every *.key, *.pem and *.crt in `dir` itself: permissions, readability, validity at `now`, and
/// whether NAME.key belongs to NAME.pem. A certificate in the last third of its lifetime is a warning.
/// Changes nothing.
/// @error NotFound when `dir` is not a directory, FileUnreadable when it cannot be listed.
Result<DirectoryReport> check_directory(const std::filesystem::path& dir, UtcTime now);

}  // namespace culvert::certs
