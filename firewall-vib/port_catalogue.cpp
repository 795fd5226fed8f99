#include "firewall-vib/port_catalogue.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "firewall-vib/catalogue_data.hpp"
#include "firewall-vib/catalogue_reader.hpp"

namespace culvert::firewall {

namespace {

std::string listed(const Names& names) {
  std::string text;
  for (const auto& [name, ignored] : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

bool overlap(const PortRanges& some, const PortRanges& others) {
  return std::any_of(some.begin(), some.end(), [&](const PortRange& a) {
    return std::any_of(others.begin(), others.end(), [&](const PortRange& b) { return a.overlaps(b); });
  });
}

/// A dynamic range holds the ports of others by its nature.
bool holds(const PortRow& range, const PortRow& other) {
  return range.dynamic && all_within(other.ports, range.ports);
}

/// Two rows that say different things about the same port are a mistake of whoever wrote them.
bool contradict(const PortRow& a, const PortRow& b) {
  return a.product == b.product && a.source == b.source && a.target == b.target &&
         overlap(a.ports, b.ports) && !holds(a, b) && !holds(b, a);
}

}  // namespace

std::string_view protocol_name(Protocol protocol) {
  switch (protocol) {
    case Protocol::None:
      return "";
    case Protocol::Tcp:
      return "tcp";
    case Protocol::TcpAndUdp:
      return "tcp+udp";
  }
  return "";
}

std::string_view direction_name(Direction direction) {
  return direction == Direction::Inside ? "inside" : "out";
}

const PortCatalogue& PortCatalogue::built_in() {
  static const PortCatalogue catalogue = [] {
    auto parsed = parse(catalogue_toml(), "ports.toml");
    TUNNEL_ASSERT(parsed.has_value());
    return std::move(parsed).value();
  }();
  return catalogue;
}

Result<PortCatalogue> PortCatalogue::parse(std::string_view toml, std::string_view name) {
  auto read = read_catalogue(toml, name);
  if (!read) return std::move(read).error();
  PortCatalogue catalogue;
  catalogue.products_ = std::move(read->products);
  catalogue.roles_ = std::move(read->roles);
  for (ReadRow& entry : read->rows) {
    PortRow& row = entry.row;
    const auto wrong = [&](const std::string& why) {
      return Error{Errc::ConfigInvalid, fmt::format("{}:{}: row '{}' {}", name, entry.line, row.id, why)};
    };
    if (catalogue.find(row.id) != nullptr) return wrong("is there twice; give it an id of its own");
    if (!catalogue.products_.contains(row.product)) {
      return wrong(fmt::format("names the product '{}', which [products] lacks", row.product));
    }
    for (const std::string& role : {row.source, row.target}) {
      if (!catalogue.roles_.contains(role)) {
        return wrong(fmt::format("names the role '{}', which [roles] lacks", role));
      }
    }
    for (const PortRow& other : catalogue.rows_) {
      if (contradict(other, row))
        return wrong(fmt::format("opens ports that row '{}' opens already ({}); join them or change one",
                                 other.id, ports_text(other.ports)));
    }
    catalogue.rows_.push_back(std::move(row));
  }
  return catalogue;
}

const PortRow* PortCatalogue::find(std::string_view id) const {
  const auto found =
      std::find_if(rows_.begin(), rows_.end(), [&](const PortRow& row) { return row.id == id; });
  return found == rows_.end() ? nullptr : &*found;
}

Result<PortCatalogue> PortCatalogue::select(std::string_view product, std::string_view role) const {
  if (!product.empty() && products_.find(product) == products_.end()) {
    return Error{Errc::UsageInvalid, fmt::format("there is no product '{}' in the catalogue; it has {}",
                                                 product, listed(products_))};
  }
  if (!role.empty() && roles_.find(role) == roles_.end()) {
    return Error{Errc::UsageInvalid,
                 fmt::format("there is no role '{}' in the catalogue; it has {}", role, listed(roles_))};
  }
  PortCatalogue selected = *this;
  std::erase_if(selected.rows_, [&](const PortRow& row) {
    return (!product.empty() && row.product != product) ||
           (!role.empty() && row.source != role && row.target != role);
  });
  return selected;
}

Result<void> PortCatalogue::check_overlaps() const {
  for (auto row = rows_.begin(); row != rows_.end(); ++row) {
    const auto other =
        std::find_if(rows_.begin(), row, [&](const PortRow& before) { return contradict(before, *row); });
    if (other != row) {
      return Error{Errc::UsageInvalid,
                   fmt::format("rows '{}' ({}) and '{}' ({}) would open the same ports between the same two "
                               "machines; choose others with --set",
                               other->id, ports_text(other->ports), row->id, ports_text(row->ports))};
    }
  }
  return {};
}

Result<void> PortCatalogue::set_ports(std::string_view id, PortRanges ports) {
  const auto found =
      std::find_if(rows_.begin(), rows_.end(), [&](const PortRow& row) { return row.id == id; });
  if (found == rows_.end()) {
    return Error{
        Errc::UsageInvalid,
        fmt::format("there is no row '{}' in the catalogue; `culvert-vib ports --json` shows all", id)};
  }
  if (found->changeable.empty()) {
    return Error{Errc::UsageInvalid, fmt::format("the ports of row '{}' are fixed by {}; leave it as it is",
                                                 id, product_name(*found))};
  }
  found->ports = std::move(ports);
  return {};
}

}  // namespace culvert::firewall
