// Prints the configuration that `init` or `join` would write, for the examples in the packages: one text, one
// place.
#include <iostream>
#include <string_view>

#include "cloud-gateway/config.hpp"
#include "tunnel-agent/config.hpp"

int main(int argc, char** argv) {
  const std::string_view program = argc == 2 ? argv[1] : "";
  if (program == "gateway") {
    std::cout << culvert::config_template("gw.example.net", culvert::GatewayConfig{}.listen, "");
  } else if (program == "agent") {
    std::cout << culvert::new_config_text("https://gw.example.net:443", true);
  } else {
    std::cerr << "usage: example_config gateway|agent\n";
    return 2;
  }
  return std::cout.flush() ? 0 : 1;
}
