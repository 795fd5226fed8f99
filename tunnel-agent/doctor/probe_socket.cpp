#include "tunnel-agent/doctor/probe_socket.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>

namespace culvert {

bool wait_for_socket(int fd, short events, Instant deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd waiting{fd, events, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool is_whole_reply(std::string_view bytes) {
  const auto end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return false;
  constexpr std::string_view kField = "\r\ncontent-length:";
  const std::string_view head = bytes.substr(0, end + 2);
  const auto found = std::search(head.begin(), head.end(), kField.begin(), kField.end(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  });
  if (found == head.end()) return false;
  std::string_view value = head.substr(static_cast<std::size_t>(found - head.begin()) + kField.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  std::size_t length = 0;
  if (std::from_chars(value.data(), value.data() + value.size(), length).ec != std::errc{}) return false;
  return bytes.size() - end - 4 >= length;
}

std::string exchange_plain(int fd, std::string_view request, Instant deadline) {
  if (!wait_for_socket(fd, POLLOUT, deadline)) return {};
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    return {};
  std::string reply;
  std::array<char, 4096> piece{};
  while (reply.size() < kMostReplyBytes && !is_whole_reply(reply) && wait_for_socket(fd, POLLIN, deadline)) {
    const ssize_t n = ::recv(fd, piece.data(), piece.size(), 0);
    if (n <= 0) break;
    reply.append(piece.data(), static_cast<std::size_t>(n));
  }
  return reply;
}

}  // namespace culvert
