#include "firewall-vib/ar_check.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>

namespace culvert::firewall {

std::optional<std::string> ar_fault(std::string_view bytes) {
  constexpr std::string_view kMagic = "!<arch>\n";
  constexpr std::size_t kHeader = 60;
  for (std::size_t at = kMagic.size(); at < bytes.size();) {
    const std::string_view header = bytes.substr(at, kHeader);
    if (header.size() < kHeader || !header.ends_with("`\n"))
      return fmt::format("has at byte {} neither a member nor its end", at);
    std::string_view digits = header.substr(48, 10);
    digits = digits.substr(0, digits.find_last_not_of(' ') + 1);
    std::uint64_t size = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
    if (failed != std::errc{} || end != digits.data() + digits.size())
      return fmt::format("has at byte {} a member of the size '{}'", at, digits);
    if (size > bytes.size() - at - kHeader)
      return fmt::format("has at byte {} a member that is cut short", at);
    at += kHeader + size + size % 2;
  }
  return std::nullopt;
}

}  // namespace culvert::firewall
