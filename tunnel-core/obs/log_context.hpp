// Who a line is about, as values: `org=acme site=tokyo session=00000000000004d2 stream=7 `.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <cstdint>
#include <optional>
#include <string>

namespace culvert {

struct LogContext {
  std::string org;
  std::string site;
  std::optional<std::uint64_t> session;
  std::optional<std::uint32_t> lane;
  std::optional<std::uint32_t> stream;
};

}  // namespace culvert

/// Formats the parts that are set, each followed by a blank, so that `log.info("{}lane up", context)` reads
/// well.
template <>
struct fmt::formatter<culvert::LogContext> {
  constexpr auto parse(format_parse_context& ctx) { return ctx.begin(); }
  template <class FormatContext>
  auto format(const culvert::LogContext& c, FormatContext& ctx) const {
    auto out = ctx.out();
    if (!c.org.empty()) out = fmt::format_to(out, "org={} ", c.org);
    if (!c.site.empty()) out = fmt::format_to(out, "site={} ", c.site);
    if (c.session) out = fmt::format_to(out, "session={:016x} ", *c.session);
    if (c.lane) out = fmt::format_to(out, "lane={} ", *c.lane);
    if (c.stream) out = fmt::format_to(out, "stream={} ", *c.stream);
    return out;
  }
};
