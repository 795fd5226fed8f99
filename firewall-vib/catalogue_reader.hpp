// ports.toml to rows. What rows may say about each other is port_catalogue.cpp's.
#pragma once

#include "firewall-vib/port_catalogue.hpp"

namespace culvert::firewall {

struct ReadRow {
  PortRow row;
  unsigned line = 0;
};

struct ReadCatalogue {
  Names products;
  Names roles;
  std::vector<ReadRow> rows;
};

/// @error ConfigInvalid, with file, line and what to do.
Result<ReadCatalogue> read_catalogue(std::string_view toml, std::string_view name);

}  // namespace culvert::firewall
