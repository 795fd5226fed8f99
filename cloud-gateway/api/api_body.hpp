// Reading request bodies: JSON whose every missing or wrong key is a UsageInvalid that names it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cloud-gateway/api/session_service.hpp"
#include "cloud-gateway/store/records.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

/// docs/rest-api.md §4: how many forwards a site may report.
constexpr std::size_t kMaxReportedForwards = 1000;

/// @error UsageInvalid: no JSON, no object, or nested deeper than any request of ours.
Result<nlohmann::json> parse_body(std::string_view body);

/// @error UsageInvalid: missing, no string, longer than `max_size` bytes, or with control characters.
Result<std::string> text_key(const nlohmann::json& object, const char* key, std::size_t max_size);
/// @error UsageInvalid: missing, no integer, out of range.
Result<std::uint64_t> number_key(const nlohmann::json& object, const char* key, std::uint64_t min,
                                 std::uint64_t max);

/// @error UsageInvalid.
Result<SessionRequest> read_session_request(const nlohmann::json& body);
/// @error UsageInvalid, also for two forwards of one name.
Result<std::vector<ForwardRecord>> read_forwards(const nlohmann::json& body);

}  // namespace culvert
