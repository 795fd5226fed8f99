// TUNNEL_ASSERT: for our own mistakes, on in every build. Never for what a peer, a user or the world did.
#pragma once

namespace culvert {

/// Prints expression and place to stderr, then aborts. Never returns.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace culvert

#define TUNNEL_ASSERT(expression) \
  (static_cast<bool>(expression) ? void(0) : ::culvert::assertion_failed(#expression, __FILE__, __LINE__))
