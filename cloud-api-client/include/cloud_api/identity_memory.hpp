// How a site proves to its gateway who it is: by its certificate in the TLS handshake, or, where something on
// the way does not let ALPN `culvert/1` pass, by a signature over the connection (docs/protocol.md §3.5).
#pragma once

#include <mutex>
#include <optional>

#include "tunnel-core/base/time.hpp"

namespace culvert::cloud_api {

enum class IdentityBy { Certificate, Proof };

/// How long a first handshake with `culvert/1` may take while the other way is still to be tried.
constexpr Duration kAlpnPatience = 4s;

/// What was learnt about the way, shared by calls and lanes of one agent. Thread-safe.
class IdentityMemory {
 public:
  /// @param fixed  what the configuration demands; nothing: the certificate, until only the proof has worked.
  explicit IdentityMemory(std::optional<IdentityBy> fixed = std::nullopt) : fixed_(fixed) {}

  IdentityBy choice() const {
    if (fixed_) return *fixed_;
    const std::lock_guard lock{mutex_};
    return std::chrono::steady_clock::now() < proof_until_ ? IdentityBy::Proof : IdentityBy::Certificate;
  }
  bool may_learn() const { return !fixed_; }
  /// Only the proof got through: it goes first for kRemembered, then the certificate has another chance.
  void proof_worked() {
    const std::lock_guard lock{mutex_};
    proof_until_ = std::chrono::steady_clock::now() +
                   std::chrono::duration_cast<std::chrono::steady_clock::duration>(kRemembered);
  }
  void forget() {
    const std::lock_guard lock{mutex_};
    proof_until_ = {};
  }

  static constexpr Duration kRemembered = 10min;

 private:
  const std::optional<IdentityBy> fixed_;
  mutable std::mutex mutex_;
  std::chrono::steady_clock::time_point proof_until_{};
};

}  // namespace culvert::cloud_api
