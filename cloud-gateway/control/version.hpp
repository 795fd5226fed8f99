// The version this program tells its peers and its operator.
#pragma once

#include <string_view>

namespace culvert {

/// From CMake's project(): one place to raise it.
inline constexpr std::string_view kVersion = CULVERT_VERSION;

}  // namespace culvert
