#include <iostream>

#include "firewall-vib/command_line.hpp"
#include "tunnel-core/daemon/signals.hpp"

int main(int argc, char** argv) {
  culvert::ignore_file_size_signal();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return culvert::firewall::VibCli{std::cout, std::cerr}.execute(arguments);
}
