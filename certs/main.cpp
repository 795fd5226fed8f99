#include <iostream>

#include "certs/command_line.hpp"
#include "tunnel-core/daemon/signals.hpp"

int main(int argc, char** argv) {
  culvert::ignore_file_size_signal();
  return culvert::certs::run_command_line(argc, argv, std::cin, std::cout);
}
