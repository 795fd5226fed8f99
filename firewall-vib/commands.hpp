// What the subcommands of culvert-vib do.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "firewall-vib/port_catalogue.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::firewall {

/// What the arguments said. CLI11 writes into it, so it outlives the parse.
struct CommandOptions {
  std::string product;
  std::string role;
  std::filesystem::path catalogue;
  std::vector<std::string> set;
  std::string form;
  std::string ports;
  std::filesystem::path config;
  std::filesystem::path out;
  std::filesystem::path file;
  std::filesystem::path key;
  std::filesystem::path certificate;
  std::filesystem::path trust;
  std::string vib_version;
  std::string release_date;
  std::string acceptance_level;
  std::vector<std::string> replaces;
  bool json = false;
  bool markdown = false;
  bool csv = false;
};

/// The catalogue that the options choose.
/// @error as PortCatalogue::parse(), select() and set_ports(); UsageInvalid for a --set without `=`.
Result<PortCatalogue> chosen_catalogue(const CommandOptions& options);

/// What an option names.
/// @error as read_file(); NotFound says which option it was.
Result<std::string> read_input(const std::filesystem::path& path, const char* option);

/// Writes a result to the path that --out names, and prints that path. What went into a device or a FIFO has
/// no path to be found by; the one printed could end up in the middle of it (/dev/stdout).
Result<void> write_out(const std::filesystem::path& path, std::string_view content, std::ostream& out);

Result<void> show_ports(const CommandOptions& options, std::ostream& out);
/// To --out, or to `out` without it.
Result<void> make_rules(const CommandOptions& options, std::ostream& out);

}  // namespace culvert::firewall
