#include <iostream>
#include <string_view>

#include "tunnel-agent/agent.hpp"
#include "tunnel-agent/cli.hpp"
#include "tunnel-agent/doctor/command.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/daemon/signals.hpp"
#include "tunnel-core/obs/log.hpp"

int main(int argc, char** argv) {
  culvert::ignore_file_size_signal();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  // The joining string is the one secret that may stand here; `ps` should not show it for longer than this.
  for (int i = 1; i < argc; ++i) {
    if (std::string_view{argv[i]}.starts_with("culvert-join-")) culvert::hide_argument(argv[i]);
  }
  // spdlog begins on standard output, which belongs to results.
  static_cast<void>(culvert::start_logging({}));
  return culvert::AgentCli{culvert::run_agent,      std::cin, std::cout, std::cerr, culvert::doctor_command,
                           culvert::explain_command}
      .execute(arguments);
}
