#include <iostream>

#include "firewall-vib/command_line.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return culvert::firewall::VibCli{std::cout, std::cerr}.execute(arguments);
}
