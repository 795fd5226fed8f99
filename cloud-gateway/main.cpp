// culvert-gateway: the command line, wired to the data path.
#include "cloud-gateway/cli_commands.hpp"
#include "cloud-gateway/gateway.hpp"
#include "tunnel-core/daemon/signals.hpp"

int main(int argc, char** argv) {
  culvert::ignore_file_size_signal();
  return culvert::gateway_main(argc, argv, culvert::run_gateway);
}
