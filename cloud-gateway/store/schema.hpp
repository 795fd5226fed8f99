// The migrations the program carries: entry i brings a store from version i to version i + 1.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace culvert {

std::vector<std::string_view> schema_migrations();

/// The statements of one migration, without comments. A statement ends with a semicolon at the end of its
/// line.
std::vector<std::string> split_statements(std::string_view script);

}  // namespace culvert
