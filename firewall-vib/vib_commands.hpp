// build, bundle, depot, inspect and verify of culvert-vib.
#pragma once

#include "firewall-vib/commands.hpp"
#include "firewall-vib/vib.hpp"

namespace culvert::firewall {

/// The VIB that --ports or --config, --version and the rest describe.
/// @param err  gets one line when the signer's certificate has expired or is not valid yet.
/// @error as ports_of_agent(), parse_ports(), build_vib(); FileUnsafe for a signing key that others can read.
Result<BuiltVib> described_vib(const CommandOptions& options, std::ostream& err);

/// Where a result goes: FILE itself, or its own name when `out` is a directory.
std::filesystem::path output_path(const std::filesystem::path& out, const std::string& own_name);

Result<void> build_vib_file(const CommandOptions& options, std::ostream& out, std::ostream& err);
Result<void> build_bundle(const CommandOptions& options, std::ostream& out, std::ostream& err);
Result<void> build_depot(const CommandOptions& options, std::ostream& out, std::ostream& err);
Result<void> inspect_vib(const CommandOptions& options, std::ostream& out);
/// @error ReplyInvalid when the VIB has faults, after they were printed.
Result<void> verify_vib(const CommandOptions& options, std::ostream& out);

}  // namespace culvert::firewall
