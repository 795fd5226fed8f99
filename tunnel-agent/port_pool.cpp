#include "tunnel-agent/port_pool.hpp"

#include <fmt/format.h>

#include <charconv>

namespace culvert {

namespace {

bool parse_port(std::string_view text, std::uint16_t& out) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failure == std::errc{} && end == text.data() + text.size() && out != 0;
}

}  // namespace

Result<PortPool> PortPool::parse(std::string_view text) {
  const std::size_t dash = text.find('-');
  PortPool pool;
  bool good = parse_port(text.substr(0, dash), pool.first);
  pool.last = pool.first;
  if (dash != std::string_view::npos) good = good && parse_port(text.substr(dash + 1), pool.last);
  if (!good || pool.first > pool.last) {
    return Error{Errc::UsageInvalid,
                 fmt::format("'{}' is not a range of ports; write it like 10000-10010", text)};
  }
  return pool;
}

std::string PortPool::to_text() const {
  return fmt::format("{}-{}", first, last);
}

Result<ChosenPort> choose_port(const PortPool& pool, const std::set<std::uint16_t>& reserved,
                               Forward forward) {
  ChosenPort chosen;
  for (unsigned port = pool.first; port <= pool.last; ++port) {
    forward.port = static_cast<std::uint16_t>(port);
    if (reserved.contains(forward.port)) continue;
    auto sockets = open_listen_sockets(forward);
    if (sockets) {
      chosen.port = forward.port;
      chosen.sockets = std::move(*sockets);
      return chosen;
    }
    if (sockets.error().code() != Errc::PortInUse) return std::move(sockets).error();
    const std::string holder = port_holder(forward.port);
    chosen.skipped.push_back(
        fmt::format("port {} is skipped: in use by {}", port, holder.empty() ? "another process" : holder));
  }
  return Error{
      Errc::PortInUse,
      fmt::format("no port of the pool {} is free; name one with --port, or widen port_pool in agent.toml",
                  pool.to_text())};
}

}  // namespace culvert
