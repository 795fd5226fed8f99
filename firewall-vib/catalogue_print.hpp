// The catalogue as people and programs read it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "firewall-vib/port_catalogue.hpp"

namespace culvert::firewall {

/// Columns under each other, for a terminal.
std::string catalogue_text(const PortCatalogue& catalogue);
/// A Markdown table for each product; the README's table is this.
std::string catalogue_markdown(const PortCatalogue& catalogue);
/// RFC 4180, one header line.
std::string catalogue_csv(const PortCatalogue& catalogue);
/// {"rows": [{id, product, service, source, target, ports: [{first, last}], protocol, direction, purpose,
/// changeable: null or how, dynamic: true or false}]}: keys are only ever added.
nlohmann::ordered_json catalogue_json(const PortCatalogue& catalogue);

/// A CSV field, quoted where it has to be.
std::string csv_field(std::string_view text);

}  // namespace culvert::firewall
