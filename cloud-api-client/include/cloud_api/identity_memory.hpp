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

  IdentityBy choice(Instant now = std::chrono::steady_clock::now()) const {
    if (fixed_) return *fixed_;
    const std::lock_guard lock{mutex_};
    return now < proof_until_ ? IdentityBy::Proof : IdentityBy::Certificate;
  }
  /// May a handshake by certificate that failed be followed by the proof? Not soon after the certificate has
  /// worked: then a cut line or a halted gateway is likelier than something new on the way.
  bool may_learn(Instant now = std::chrono::steady_clock::now()) const {
    if (fixed_) return false;
    const std::lock_guard lock{mutex_};
    return !certificate_worked_ || (failing_since_ && now - *failing_since_ >= kLoyalty);
  }
  void certificate_worked() {
    const std::lock_guard lock{mutex_};
    certificate_worked_ = true;
    failing_since_.reset();
    proof_until_ = {};
  }
  void certificate_failed(Instant now = std::chrono::steady_clock::now()) {
    const std::lock_guard lock{mutex_};
    if (!failing_since_) failing_since_ = now;
  }
  /// Only the proof got through: it goes first for a while, then the certificate has another chance.
  void proof_worked(Instant now = std::chrono::steady_clock::now()) {
    const std::lock_guard lock{mutex_};
    proof_until_ = now + (certificate_worked_ ? kDoubted : kRemembered);
  }
  void forget() {
    const std::lock_guard lock{mutex_};
    proof_until_ = {};
  }

  static constexpr Duration kRemembered = 10min;
  static constexpr Duration kDoubted = 1min;  ///< Where the certificate had worked before.
  static constexpr Duration kLoyalty = 1min;

 private:
  const std::optional<IdentityBy> fixed_;
  mutable std::mutex mutex_;
  bool certificate_worked_ = false;
  std::optional<Instant> failing_since_;  ///< Handshakes by certificate, without one that worked in between.
  Instant proof_until_{};
};

}  // namespace culvert::cloud_api
