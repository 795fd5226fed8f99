#include "tunnel-agent/doctor/port_talk.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "tunnel-agent/doctor/probe_socket.hpp"

namespace culvert {

namespace {

constexpr std::size_t kMostPorts = 1024;

}  // namespace

std::optional<std::string> take_line(std::string& received) {
  const auto end = received.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string line = received.substr(0, end);
  received.erase(0, end + 1);
  return line;
}

std::optional<nlohmann::json> parse_line(const std::string& line) {
  auto object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  return object;
}

bool send_line(int fd, const nlohmann::json& object) {
  const std::string text = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::optional<nlohmann::json> ask_line(int fd, const nlohmann::json& object, Instant deadline) {
  if (!send_line(fd, object)) return std::nullopt;
  std::string received;
  std::array<char, 4096> piece{};
  while (received.size() < kLongestLine && wait_for_socket(fd, POLLIN, deadline)) {
    const ssize_t n = ::recv(fd, piece.data(), piece.size(), 0);
    if (n <= 0) return std::nullopt;
    received.append(piece.data(), static_cast<std::size_t>(n));
    if (const auto line = take_line(received)) return parse_line(*line);
  }
  return std::nullopt;
}

std::string text_in(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

std::vector<std::uint16_t> ports_in(const nlohmann::json& object, const char* key) {
  std::vector<std::uint16_t> ports;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return ports;
  for (const nlohmann::json& entry : *found) {
    if (!entry.is_number_unsigned() || entry.get<std::uint64_t>() < 1 || entry.get<std::uint64_t>() > 65535)
      continue;
    if (ports.size() == kMostPorts) break;
    ports.push_back(entry.get<std::uint16_t>());
  }
  return ports;
}

}  // namespace culvert
