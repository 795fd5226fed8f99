// The port catalogue: who connects to whom, on which port and why. Its data is ports.toml, which the programs
// carry.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "firewall-vib/port_range.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::firewall {

enum class Protocol { None, Tcp, TcpAndUdp };
enum class Direction { Inside, Out };

/// One row. The names of its columns are explained in ports.toml.
struct PortRow {
  std::string id;
  std::string product;
  std::string service;
  std::string source;
  std::string target;
  PortRanges ports;  ///< Empty: a service without a port of its own.
  Protocol protocol = Protocol::None;
  Direction direction = Direction::Inside;
  std::string purpose;
  std::string changeable;     ///< How; empty where the port is fixed.
  bool dynamic = false;       ///< A port of the range is chosen for each connection.
  std::string windows_group;  ///< Empty where Windows brings no rules for it.
};

/// "tcp", "tcp+udp", "" ; "inside", "out".
std::string_view protocol_name(Protocol protocol);
std::string_view direction_name(Direction direction);

/// What ports.toml says of names: `culvert` -> "Culvert".
using Names = std::map<std::string, std::string, std::less<>>;

class PortCatalogue {
 public:
  /// The catalogue of this version.
  static const PortCatalogue& built_in();
  /// @param name  of the file, for errors.
  /// @error ConfigInvalid: no TOML, a column missing, unknown, empty or of the wrong kind, a product or role
  ///        without a name, an id twice, ports that are none, two rows of one product that open the same port
  ///        between the same two, other than single ports within a dynamic range.
  static Result<PortCatalogue> parse(std::string_view toml, std::string_view name);

  const std::vector<PortRow>& rows() const { return rows_; }
  const Names& products() const { return products_; }
  const Names& roles() const { return roles_; }
  const std::string& product_name(const PortRow& row) const { return products_.find(row.product)->second; }
  const std::string& role_name(const std::string& role) const { return roles_.find(role)->second; }

  /// Null when there is none.
  const PortRow* find(std::string_view id) const;

  /// Keeps the rows of one product, or of one role at either end; an empty name keeps all.
  /// @error UsageInvalid: a name that the catalogue does not have; the message lists those it has.
  Result<PortCatalogue> select(std::string_view product, std::string_view role) const;

  /// For ports that were set: as parse() does it.
  /// @error UsageInvalid: two rows of one product that open the same port between the same two.
  Result<void> check_overlaps() const;

  /// Puts other ports into a changeable row.
  /// @error UsageInvalid: no such row, or one whose ports are fixed.
  Result<void> set_ports(std::string_view id, PortRanges ports);

 private:
  std::vector<PortRow> rows_;
  Names products_;
  Names roles_;
};

/// The rows that the agent's configuration changes.
constexpr std::string_view kAgentPortsRow = "agent-ports";
constexpr std::string_view kAgentDepotRow = "agent-depot";
constexpr std::string_view kGatewayRow = "gateway-https";

}  // namespace culvert::firewall
