#include "firewall-vib/catalogue_reader.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>

namespace culvert::firewall {

namespace {

constexpr std::array<std::string_view, 12> kColumns{"id",      "product",    "service",  "source",
                                                    "target",  "ports",      "protocol", "direction",
                                                    "purpose", "changeable", "dynamic",  "windows_group"};
constexpr std::size_t kMaxText = 200;

/// The text goes into tables, scripts and XML; none of them should have to defend itself against it.
bool is_plain(std::string_view text) {
  return !text.empty() && text.size() <= kMaxText && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == '|' || c == '"' || c == '\x7f';
  });
}

/// Ids of roles and rows name chains, services and files.
bool is_id(std::string_view text) {
  constexpr std::string_view kSigns = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
  return is_plain(text) && text.find_first_not_of(kSigns) == std::string_view::npos && text.front() != '-';
}

/// One row; the first mistake is kept.
class RowReader {
 public:
  RowReader(const toml::table& table, std::string_view file)
      : table_(table), file_(file), line_(table.source().begin.line) {}

  ReadRow read() {
    PortRow row;
    row.id = text("id", /*required=*/true);
    id_ = row.id;
    if (!row.id.empty() && !is_id(row.id)) fail(line_, "has an id that is not letters, digits and - alone");
    row.product = text("product", true);
    row.service = text("service", true);
    row.source = text("source", true);
    row.target = text("target", true);
    row.purpose = text("purpose", true);
    row.changeable = text("changeable", false);
    row.dynamic = flag("dynamic");
    row.windows_group = text("windows_group", false);
    read_ports(row);
    read_direction(row);
    for (const auto& [key, value] : table_) {
      if (std::find(kColumns.begin(), kColumns.end(), key.str()) == kColumns.end()) {
        fail(value.source().begin.line, fmt::format("has no column '{}'", key.str()));
      }
    }
    return {std::move(row), line_};
  }

  const std::optional<Error>& failure() const { return failure_; }

 private:
  std::string text(std::string_view column, bool required) {
    const toml::node* node = table_.get(column);
    if (node == nullptr) {
      if (required) fail(line_, fmt::format("lacks the column '{}'", column));
      return {};
    }
    const auto value = node->value_exact<std::string>();
    const bool good = value && is_plain(*value);
    if (good) return *value;
    fail(node->source().begin.line,
         fmt::format("has a '{}' that is not one line of 1 to {} characters without \" and |", column,
                     kMaxText));
    return {};
  }

  bool flag(std::string_view column) {
    const toml::node* node = table_.get(column);
    if (node == nullptr) return false;
    const auto value = node->value_exact<bool>();
    if (!value) fail(node->source().begin.line, fmt::format("has a '{}' that is not true or false", column));
    return value.value_or(false);
  }

  void read_ports(PortRow& row) {
    const std::string ports = text("ports", true);
    if (failure_) return;
    if (ports == "none") {
      if (table_.contains("protocol")) fail(line_, "has a protocol but no ports; drop one of the two");
      return;
    }
    auto ranges = parse_ports(ports);
    if (!ranges) return fail(line_, fmt::format("has wrong ports: {}", ranges.error().message()));
    row.ports = std::move(*ranges);
    const std::string protocol = text("protocol", true);
    if (protocol == protocol_name(Protocol::Tcp)) {
      row.protocol = Protocol::Tcp;
    } else if (protocol == protocol_name(Protocol::TcpAndUdp)) {
      row.protocol = Protocol::TcpAndUdp;
    } else {
      fail(line_, fmt::format("has the protocol '{}'; write tcp or tcp+udp", protocol));
    }
  }

  void read_direction(PortRow& row) {
    const std::string direction = text("direction", true);
    if (direction == direction_name(Direction::Out)) {
      row.direction = Direction::Out;
    } else if (direction != direction_name(Direction::Inside)) {
      fail(line_, fmt::format("has the direction '{}'; write inside or out", direction));
    }
  }

  void fail(unsigned line, const std::string& why) {
    if (!failure_) {
      failure_ = Error{Errc::ConfigInvalid, fmt::format("{}:{}: row '{}' {}", file_, line, id_, why)};
    }
  }

  const toml::table& table_;
  std::string_view file_;
  unsigned line_;
  std::string id_;
  std::optional<Error> failure_;
};

Result<Names> read_names(const toml::table& root, std::string_view key, std::string_view file) {
  const toml::table* table = root[key].as_table();
  if (table == nullptr)
    return Error{Errc::ConfigInvalid, fmt::format("{}: there is no table [{}]", file, key)};
  Names names;
  for (const auto& [key_of_name, value] : *table) {
    const std::string_view name = key_of_name.str();  // clang 14 lets no lambda capture a structured binding.
    const auto text = value.value_exact<std::string>();
    const auto wrong = [&, line = value.source().begin.line](const std::string& why) {
      return Error{Errc::ConfigInvalid,
                   fmt::format("{}:{}: '{}' in [{}] {}", file, line, name.substr(0, 60), key, why)};
    };
    if (!is_id(name)) return wrong("has a name that is not letters, digits and - alone");
    if (!text || !is_plain(*text))
      return wrong(
          fmt::format("has to be a text: one line of 1 to {} characters without \" and |", kMaxText));
    names.emplace(std::string{name}, *text);
  }
  return names;
}

}  // namespace

Result<ReadCatalogue> read_catalogue(std::string_view toml, std::string_view name) {
  toml::table root;
  try {
    root = toml::parse(toml, name);
  } catch (const toml::parse_error& error) {
    return Error{Errc::ConfigInvalid,
                 fmt::format("{}:{}: {}", name, error.source().begin.line, error.description())};
  }
  ReadCatalogue catalogue;
  for (auto [key, names] :
       {std::pair{"products", &catalogue.products}, std::pair{"roles", &catalogue.roles}}) {
    auto read = read_names(root, key, name);
    if (!read) return std::move(read).error();
    *names = std::move(*read);
  }
  const toml::array* rows = root["row"].as_array();
  if (rows == nullptr || !rows->is_array_of_tables()) {
    return Error{Errc::ConfigInvalid, fmt::format("{}: there are no rows; write each as [[row]]", name)};
  }
  for (const toml::node& row : *rows) {
    RowReader reader{*row.as_table(), name};
    ReadRow read = reader.read();
    if (reader.failure()) return *reader.failure();
    catalogue.rows.push_back(std::move(read));
  }
  return catalogue;
}

}  // namespace culvert::firewall
