// ports.toml as the programs carry it; the source file is made by embed_catalogue.cmake.
#pragma once

#include <string_view>

namespace culvert::firewall {

std::string_view catalogue_toml();

}  // namespace culvert::firewall
