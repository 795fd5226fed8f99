// The command `culvert-certs`.
#pragma once

#include <iosfwd>

namespace culvert::certs {

/// @param in   read only by `joining-string inspect`.
/// @param out  the result and nothing else; errors go to stderr.
/// @return the exit code: 0 done, 1 failed, 2 wrong usage.
int run_command_line(int argc, const char* const* argv, std::istream& in, std::ostream& out);

}  // namespace culvert::certs
