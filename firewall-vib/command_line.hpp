// The command `culvert-vib`.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace culvert::firewall {

struct VibCli {
  std::ostream& out;  ///< Results, and nothing else.
  std::ostream& err;  ///< Hints and errors.

  /// @param arguments  without the program's name.
  /// @return the exit code: 0 done, 1 failed (or, for `verify`, a VIB with faults), 2 wrong usage.
  int execute(const std::vector<std::string>& arguments) const;
};

}  // namespace culvert::firewall
