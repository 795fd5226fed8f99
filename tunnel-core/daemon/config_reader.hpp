// TOML configuration: every key known, every error with file, line and what to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert {

/// Reads one file. Each value is asked for by its dotted key ("log.level"); the first mistake is kept and all
/// further calls leave their outputs alone. So callers ask for every key, whatever went wrong before:
/// `finish()` names a key nobody asked for together with the nearest known one: `gateway.toml:12: unknown key
/// 'sesion_memory' in [limits]; did you mean 'session_memory'?` Where there is none it returns that mistake.
class ConfigReader {
 public:
  /// @error NotFound, FileUnreadable, ConfigInvalid (TOML syntax, with line and column).
  static Result<ConfigReader> open(const std::filesystem::path& path);
  ConfigReader(ConfigReader&&) noexcept;
  ~ConfigReader();

  /// Absent: `out` keeps its default.
  void text(std::string_view key, std::string& out);
  void path(std::string_view key, std::filesystem::path& out);  ///< Relative paths are relative to the file.
  void flag(std::string_view key, bool& out);
  void number(std::string_view key, std::uint64_t& out, std::uint64_t min, std::uint64_t max);
  void bytes(std::string_view key, ByteCount& out, ByteCount min,
             ByteCount max);  ///< "64 MiB", "512 KiB" or an integer.
  void duration(std::string_view key, Duration& out, Duration min,
                Duration max);  ///< "30 s", "10 min", "500 ms", "1 h".
  void choice(std::string_view key, std::string& out, std::vector<std::string> allowed);
  void text_list(std::string_view key, std::vector<std::string>& out);
  /// Reports a mistake in a value that parsed (a bad address, say), with its line.
  void reject(std::string_view key, std::string_view why_and_what_to_do);

  Result<void> finish();

 private:
  struct Impl;
  explicit ConfigReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace culvert
