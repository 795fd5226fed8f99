// `culvert-agent join`: from a joining string to a directory the agent can run from.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "certs/utc_time.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

struct Joined {
  std::string org;
  std::string site;
  std::string gateway_url;
  std::string certificate_expires_at;
  std::filesystem::path config_file;
};

/// Enrols this machine: DIR then holds site.key, site.pem, trust.pem (all 0600) and agent.toml.
///
/// A key is made once and kept in DIR/joining.key until everything else is in place; renaming it to site.key
/// is the last step. The gateway gives a repeated request the same certificate only for the same key, so when
/// the reply was lost (or this process killed) the key has to survive: the same command then goes on with it.
/// Where the gateway refused, or was not reached at all, nothing is left behind.
///
/// @param text  the joining string, white space allowed; never logged nor part of an error.
/// @param dir   new, empty, or left by an unfinished join.
/// @error JoiningStringInvalid, JoiningStringExpired, AlreadyExists (DIR in use: nothing changed; for an
///        agent's DIR with the way to join again), what cloud_api/error.hpp lists, ReplyInvalid when
///        certificate and key do not fit, DiskFull, IoFailed.
Result<Joined> join_gateway(std::string_view text, const std::filesystem::path& dir, certs::UtcTime now);

}  // namespace culvert
