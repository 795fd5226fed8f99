// `culvert-gateway init`: a new data directory with authorities, server certificate, store and gateway.toml.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "certs/utc_time.hpp"
#include "cloud-gateway/listen_address.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

struct InitOptions {
  std::filesystem::path data_dir;
  std::string hostname;
  std::vector<std::string> listen = {"0.0.0.0:443"};
  std::string public_url;  ///< Empty: https://HOSTNAME:PORT.
};

/// After an error nothing that it made is left. Killed half-way, it leaves no gateway, and the next one
/// begins again (unfinished_init.hpp).
/// @return the path of gateway.toml.
/// @error UsageInvalid; AlreadyExists or InUse when the directory holds anything else, which stays as it is.
/// @error DiskFull, IoFailed, StoreFailed.
Result<std::filesystem::path> init_gateway(const InitOptions& options, certs::UtcTime now);

}  // namespace culvert
