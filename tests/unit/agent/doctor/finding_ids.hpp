// What a conclusion came to, for comparing.
#pragma once

#include <string>
#include <vector>

#include "tunnel-agent/doctor/finding.hpp"

namespace culvert {

using Ids = std::vector<std::string>;

inline Ids ids(const std::vector<Finding>& findings) {
  Ids result;
  for (const Finding& finding : findings) result.push_back(finding.id);
  return result;
}

}  // namespace culvert
