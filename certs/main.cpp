#include <iostream>

#include "certs/command_line.hpp"

int main(int argc, char** argv) {
  return culvert::certs::run_command_line(argc, argv, std::cin, std::cout);
}
