// culvert-gateway: the command line, wired to the data path.
#include "cloud-gateway/cli_commands.hpp"
#include "cloud-gateway/gateway.hpp"

int main(int argc, char** argv) {
  return culvert::gateway_main(argc, argv, culvert::run_gateway);
}
