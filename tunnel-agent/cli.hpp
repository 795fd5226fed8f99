// The command line of culvert-agent (design: a contract). main.cpp wires it to the real agent.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "tunnel-agent/config.hpp"
#include "tunnel-agent/doctor_options.hpp"

namespace culvert {

struct AgentCli {
  std::function<Result<void>(const AgentConfig&)> run;  ///< `culvert-agent run`.
  std::istream& in;                                     ///< Where `join -` reads.
  std::ostream& out;                                    ///< Results, and nothing else.
  std::ostream& err;                                    ///< Hints and errors.
  /// `culvert-agent doctor`: progress to `err`, the report to `out`. @return whether all is well.
  std::function<Result<bool>(const DoctorOptions&, const std::string& config_file, std::ostream& out,
                             std::ostream& err)>
      doctor = {};
  std::function<Result<void>(const DoctorOptions&, std::ostream& out)> explain =
      {};  ///< `culvert-agent explain`.

  /// @param arguments  without the program's name.
  /// @return the exit code: 0 done, 1 failed, 2 wrong usage or configuration.
  int execute(const std::vector<std::string>& arguments) const;

 private:
  int run_command(const std::vector<std::string>& arguments) const;
};

}  // namespace culvert
