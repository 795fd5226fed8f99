// Bandwidth limits of orgs as the admin commands show them.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "cloud-gateway/control/live_status.hpp"
#include "cloud-gateway/store/records.hpp"

namespace culvert {

/// {org, site | null, target | null, and to_json(BandwidthLimit)}
nlohmann::json limit_json(const LimitRecord& record, WallTime now);

/// All of them, each with limiting {up, down}.
nlohmann::json limits_json(const LimitList& list, const std::vector<LiveLimit>& limiting, WallTime now);

}  // namespace culvert
