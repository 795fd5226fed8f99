// The admin commands limit.set, limit.list and limit.remove: on files alone, or on the running agent as well.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "tunnel-agent/config.hpp"
#include "tunnel-agent/forward_service.hpp"
#include "tunnel-agent/limit_files.hpp"
#include "tunnel-core/daemon/admin_socket.hpp"

namespace culvert {

class LimitService {
 public:
  /// Puts a limit into force; returns when it is.
  using Apply = std::function<Result<void>(const LimitScope&, const BandwidthLimit&)>;

  /// @param apply  empty when no agent runs.
  LimitService(const AgentConfig& config, Apply apply)
      : limits_(config.limits_dir()), forwards_(config.forwards_dir()), apply_(std::move(apply)) {}

  /// limit.set {"forward"?, "up"?, "down"?, "windows"?: […]}     -> {"forward" | null, and to_json(limit)}
  /// limit.list {}                                               -> {"limits": [the same], "time_zone"}
  /// limit.remove {"forward"?, "windows"?: […]}                  -> as limit.set
  ///
  /// Success means that the file is on the disk and the limit in force.
  /// @error UsageInvalid, NotFound, ConfigInvalid, DiskFull, IoFailed.
  Result<nlohmann::json> execute(const AdminRequest& request);

  /// The forward was removed: another of its name begins without a limit.
  Result<void> forget_forward(const std::string& forward);

 private:
  Result<nlohmann::json> change(const nlohmann::json& arguments, bool remove);
  Result<nlohmann::json> list();
  Result<void> put(const LimitScope& scope, const BandwidthLimit& limit);

  std::filesystem::path limits_;
  std::filesystem::path forwards_;
  Apply apply_;
};

/// The one for whom the command is. A forward that is removed takes its limit along.
Result<nlohmann::json> execute_on_files(ForwardService& forwards, LimitService& limits,
                                        const AdminRequest& request);

}  // namespace culvert
