// Does what the command line says and turns the outcome into output and an exit code.
#pragma once

#include <functional>

#include "cloud-gateway/cli.hpp"
#include "cloud-gateway/gateway.hpp"

namespace culvert {

/// run_gateway, handed in by main() so that commands can be tried without a data path.
using GatewayRunner = std::function<Result<void>(Gateway&)>;

/// The whole program. @return the exit code: 0 done, 1 failed, 2 wrong usage or configuration.
int gateway_main(int argc, const char* const* argv, const GatewayRunner& run);

}  // namespace culvert
