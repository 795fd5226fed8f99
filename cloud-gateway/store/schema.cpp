#include "cloud-gateway/store/schema.hpp"

namespace culvert {

std::vector<std::string> split_statements(std::string_view script) {
  std::vector<std::string> statements;
  std::string statement;
  while (!script.empty()) {
    const std::size_t end = script.find('\n');
    std::string_view line = script.substr(0, end);
    script.remove_prefix(end == std::string_view::npos ? script.size() : end + 1);

    line = line.substr(0, line.find("--"));
    const std::size_t last = line.find_last_not_of(" \t\r");
    if (last == std::string_view::npos) continue;
    line = line.substr(0, last + 1);
    const bool complete = line.back() == ';';
    if (complete) line.remove_suffix(1);
    if (!statement.empty()) statement += '\n';
    statement += line;
    if (complete) statements.push_back(std::exchange(statement, {}));
  }
  return statements;
}

}  // namespace culvert
