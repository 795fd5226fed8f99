#include "firewall-vib/catalogue_print.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace culvert::firewall {

namespace {

using Cells = std::array<std::string, 8>;
using Json = nlohmann::ordered_json;

const Cells kHeader{"source", "target", "port", "protocol", "direction", "service", "purpose", "changeable"};

std::string upper(std::string_view text) {
  std::string result{text};
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return result;
}

Cells cells_of(const PortCatalogue& catalogue, const PortRow& row, std::string_view dash) {
  return {catalogue.role_name(row.source),
          catalogue.role_name(row.target),
          ports_text(row.ports, ", ", dash),
          row.protocol == Protocol::None ? "–" : upper(protocol_name(row.protocol)),
          std::string{direction_name(row.direction)},
          row.service,
          row.purpose,
          row.changeable.empty() ? "no" : row.changeable};
}

/// Columns on a terminal, not bytes: continuation bytes of UTF-8 take none.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string catalogue_text(const PortCatalogue& catalogue) {
  std::vector<Cells> lines{kHeader};
  for (const PortRow& row : catalogue.rows()) lines.push_back(cells_of(catalogue, row, "-"));
  std::string text;
  for (const Cells& line : lines) {
    for (std::size_t column = 0; column < line.size(); ++column) {
      std::size_t widest = 0;
      for (const Cells& each : lines) widest = std::max(widest, width(each[column]));
      text += line[column];
      if (column + 1 < line.size()) text.append(widest - width(line[column]) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

std::string catalogue_markdown(const PortCatalogue& catalogue) {
  std::string text;
  std::string_view product;
  for (const PortRow& row : catalogue.rows()) {
    if (row.product != product) {
      product = row.product;
      text += fmt::format("{}**{}**\n\n", text.empty() ? "" : "\n", catalogue.product_name(row));
      for (const std::string& cell : kHeader) text += "| " + cell + " ";
      text += "|\n|---|---|---|---|---|---|---|---|\n";
    }
    for (const std::string& cell : cells_of(catalogue, row, "–")) text += "| " + cell + " ";
    text += "|\n";
  }
  return text;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of("\",\r\n") == std::string_view::npos) return std::string{text};
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string{c};
  return quoted + "\"";
}

std::string catalogue_csv(const PortCatalogue& catalogue) {
  std::string text = "id,product";
  for (const std::string& cell : kHeader) text += "," + cell;
  text += "\r\n";
  for (const PortRow& row : catalogue.rows()) {
    Cells cells = cells_of(catalogue, row, "-");
    cells[3] = std::string{protocol_name(row.protocol)};
    text += csv_field(row.id) + "," + csv_field(catalogue.product_name(row));
    for (const std::string& cell : cells) text += "," + csv_field(cell);
    text += "\r\n";
  }
  return text;
}

Json catalogue_json(const PortCatalogue& catalogue) {
  Json rows = Json::array();
  for (const PortRow& row : catalogue.rows()) {
    Json ports = Json::array();
    for (const PortRange& range : row.ports) ports.push_back({{"first", range.first}, {"last", range.last}});
    Json json{{"id", row.id},         {"product", row.product}, {"service", row.service},
              {"source", row.source}, {"target", row.target},   {"ports", std::move(ports)}};
    json["protocol"] = row.protocol == Protocol::None ? Json{} : Json(protocol_name(row.protocol));
    json["direction"] = direction_name(row.direction);
    json["purpose"] = row.purpose;
    json["changeable"] = row.changeable.empty() ? Json{} : Json(row.changeable);
    json["dynamic"] = row.dynamic;
    if (!row.windows_group.empty()) json["windows_group"] = row.windows_group;
    rows.push_back(std::move(json));
  }
  return {{"rows", std::move(rows)}};
}

}  // namespace culvert::firewall
