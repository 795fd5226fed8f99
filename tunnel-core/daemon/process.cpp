#include "tunnel-core/daemon/process.hpp"

#include <sys/random.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

namespace culvert {

namespace {

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return std::nullopt;
}

}  // namespace

std::size_t raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

Bytes random_bytes(std::size_t n) {
  Bytes bytes(n);
  std::size_t filled = 0;
  while (filled < n) {
    const ssize_t got = ::getrandom(bytes.data() + filled, n - filled, 0);
    // Nothing that needs random bytes may go on without them.
    TUNNEL_ASSERT(got > 0 || errno == EINTR);
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  return bytes;
}

std::string to_hex(ByteSpan bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 0xf];
  }
  return text;
}

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0)
    return Error{Errc::UsageInvalid, "hexadecimal text needs two digits a byte, one is missing"};
  Bytes bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto high = hex_digit(text[i]);
    const auto low = hex_digit(text[i + 1]);
    if (!high || !low) {
      return Error{Errc::UsageInvalid, "hexadecimal text has a character that is no digit near position " +
                                           std::to_string(i + 1)};
    }
    bytes.push_back(static_cast<std::byte>(*high << 4 | *low));
  }
  return bytes;
}

void hide_argument(char* argument) {
  ::explicit_bzero(argument, std::strlen(argument));
}

void notify_ready() {
  ::sd_notify(0, "READY=1");
}

void notify_stopping() {
  ::sd_notify(0, "STOPPING=1");
}

void notify_status(std::string_view text) {
  std::string state = "STATUS=";
  // A line break would start another assignment.
  for (const char c : text) state += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  ::sd_notify(0, state.c_str());
}

Duration watchdog_interval() {
  std::uint64_t microseconds = 0;
  if (::sd_watchdog_enabled(0, &microseconds) <= 0) return Duration::zero();
  return std::chrono::microseconds{microseconds / 2};
}

void notify_alive() {
  ::sd_notify(0, "WATCHDOG=1");
}

}  // namespace culvert
