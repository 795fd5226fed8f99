// The joining string: everything an agent needs to enrol, in one word that can be pasted.
//   culvert-join-BASE64URL( version 1 · url · trust · org · site · expiry · secret · checksum )
// Every version ends in the first 4 bytes of SHA-256 over all bytes before, so that a typing mistake is never
// taken for a newer version. Numbers are big-endian; url has a 2-byte length, org and site 1-byte ones.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "certs/digest.hpp"
#include "certs/utc_time.hpp"
#include "certs/verification.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::certs {

using JoiningSecret = std::array<std::byte, 32>;

struct JoiningString {
  std::string gateway_url;  ///< `https://HOST[:PORT]`, at most kMaxUrlSize bytes.
  enum class TrustKind : std::uint8_t { SystemRoots = 0, RootFingerprint = 1 };
  TrustKind trust = TrustKind::SystemRoots;
  Sha256 root_fingerprint{};  ///< SHA-256 of the root certificate; meaningless (zero) for SystemRoots.
  std::string org;
  std::string site;
  UtcTime expires_at;
  JoiningSecret secret{};

  static constexpr std::size_t kMaxUrlSize = 512;

  /// One word matching `^culvert-join-[A-Za-z0-9_-]+$`. Holds the secret: show it once.
  /// @error UsageInvalid for a url that is not https://HOST[:PORT], or a bad org, site or expiry.
  Result<std::string> encode() const;

  /// White space anywhere is ignored: terminals and mail programs break long lines. Does not look at expiry.
  /// @error JoiningStringInvalid: not a joining string; cut short or mistyped; of a newer version. The
  /// message
  ///        never repeats the text.
  static Result<JoiningString> decode(std::string_view text);

  /// @error JoiningStringExpired with both times, and what to ask for.
  Result<void> check_expiry(UtcTime now) const;

  /// What verify_server() needs to trust the gateway.
  Trust trust_anchor() const;

  friend bool operator==(const JoiningString&, const JoiningString&) = default;
};

/// 256 random bits.
JoiningSecret new_joining_secret();

/// SHA-256 of the secret as 64 lower-case hexadecimal digits: what the gateway's store keeps. A secret of 256
/// random bits needs no salt and no slow hash.
std::string joining_secret_hash(const JoiningSecret& secret);

}  // namespace culvert::certs
