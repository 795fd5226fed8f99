// The frame of an ar archive, taken literally: readers forgive much, each something else.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace culvert::firewall {

/// What is wrong with the headers, or lies behind the last member: "has ..."; nothing when all is well.
/// @param bytes  begin with the magic of ar.
std::optional<std::string> ar_fault(std::string_view bytes);

}  // namespace culvert::firewall
