// Points in calendar time, to the second, as certificates have them.
#pragma once

#include <chrono>
#include <string>

namespace culvert::certs {

using UtcTime = std::chrono::sys_seconds;
using Lifetime = std::chrono::seconds;

constexpr Lifetime days(long n) {
  return std::chrono::hours{24 * n};
}

/// `2026-03-01T08:30:00Z`.
std::string utc_text(UtcTime time);

/// The system's clock, for callers at the edge; everything here takes `now` as a value.
UtcTime utc_now();

}  // namespace culvert::certs
