#include "certs/utc_time.hpp"

#include <ctime>

namespace culvert::certs {

std::string utc_text(UtcTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  char text[40];
  if (gmtime_r(&seconds, &parts) == nullptr) return "an impossible time";
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, size};
}

UtcTime utc_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace culvert::certs
