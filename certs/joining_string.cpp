#include "certs/joining_string.hpp"

#include <openssl/rand.h>

#include <algorithm>

#include "certs/base64url.hpp"
#include "certs/site_identity.hpp"
#include "tunnel-core/base/byte_cursor.hpp"
#include "tunnel-core/daemon/process.hpp"

namespace culvert::certs {

namespace {

constexpr std::string_view kPrefix = "culvert-join-";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kChecksumSize = 4;
// Version, the longest url and names with their lengths, trust, expiry, secret, checksum.
constexpr std::size_t kEncodedMax =
    1 + (2 + JoiningString::kMaxUrlSize) + 1 + 32 + 2 * (1 + 63) + 8 + 32 + kChecksumSize;
constexpr UtcTime kLatestExpiry{std::chrono::sys_days{std::chrono::year{9999} / 12 / 31}};

bool is_gateway_url(std::string_view url) {
  constexpr std::string_view kScheme = "https://";
  if (!url.starts_with(kScheme) || url.size() > JoiningString::kMaxUrlSize) return false;
  const std::string_view authority = url.substr(kScheme.size());
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == ':' || c == '[' || c == ']';
  };
  return !authority.empty() && authority.front() != ':' &&
         std::all_of(authority.begin(), authority.end(), allowed);
}

Error damaged() {
  return Error{
      Errc::JoiningStringInvalid,
      "the joining string is cut short or mistyped (its checksum is wrong); copy it again, whole, from "
      "'culvert-gateway join-token'"};
}

ByteSpan checksum_of(ByteSpan body, Sha256& digest) {
  digest = sha256(body);
  return ByteSpan{digest}.first(kChecksumSize);
}

}  // namespace

Result<std::string> JoiningString::encode() const {
  if (!is_gateway_url(gateway_url)) {
    return Error{Errc::UsageInvalid,
                 "'" + gateway_url.substr(0, 100) +
                     "' cannot be the gateway's URL; write it like https://gw.example.net:443"};
  }
  if (auto checked = check_name("org", org); !checked) return std::move(checked).error();
  if (auto checked = check_name("site", site); !checked) return std::move(checked).error();
  if (expires_at < UtcTime{} || expires_at > kLatestExpiry) {
    return Error{Errc::UsageInvalid, "a joining string cannot expire before 1970 or after 9999"};
  }
  Bytes bytes(kEncodedMax);
  Writer out{bytes};
  out.u8(kVersion);
  out.u16(static_cast<std::uint16_t>(gateway_url.size()));
  out.put(as_bytes(gateway_url));
  out.u8(static_cast<std::uint8_t>(trust));
  if (trust == TrustKind::RootFingerprint) out.put(root_fingerprint);
  out.u8(static_cast<std::uint8_t>(org.size()));
  out.put(as_bytes(org));
  out.u8(static_cast<std::uint8_t>(site.size()));
  out.put(as_bytes(site));
  out.u64(static_cast<std::uint64_t>(expires_at.time_since_epoch().count()));
  out.put(secret);
  Sha256 digest{};
  out.put(checksum_of(ByteSpan{bytes}.first(out.written()), digest));
  TUNNEL_ASSERT(!out.failed());
  return std::string{kPrefix} + base64url_encode(ByteSpan{bytes}.first(out.written()));
}

Result<JoiningString> JoiningString::decode(std::string_view text) {
  std::string word{text};
  std::erase_if(word, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); });
  if (!word.starts_with(kPrefix)) {
    return Error{Errc::JoiningStringInvalid,
                 "this is not a joining string; one begins with culvert-join- and is "
                 "printed by 'culvert-gateway join-token'"};
  }
  const auto bytes = base64url_decode(std::string_view{word}.substr(kPrefix.size()));
  if (!bytes || bytes->size() <= kChecksumSize) return damaged();
  const ByteSpan body = ByteSpan{*bytes}.first(bytes->size() - kChecksumSize);
  Sha256 digest{};
  const ByteSpan expected = checksum_of(body, digest);
  if (!std::equal(expected.begin(), expected.end(), bytes->end() - kChecksumSize)) return damaged();

  Reader in{body};
  const unsigned version = in.u8();
  if (version != kVersion) {
    return Error{Errc::JoiningStringInvalid, "the joining string is of version " + std::to_string(version) +
                                                 ", this program knows version 1 only; update it"};
  }
  JoiningString joining;
  joining.gateway_url = as_text(in.take(in.u16()));
  const std::uint8_t kind = in.u8();
  joining.trust = static_cast<TrustKind>(kind);
  if (kind == static_cast<std::uint8_t>(TrustKind::RootFingerprint)) {
    const ByteSpan fingerprint = in.take(joining.root_fingerprint.size());
    std::copy(fingerprint.begin(), fingerprint.end(), joining.root_fingerprint.begin());
  }
  joining.org = as_text(in.take(in.u8()));
  joining.site = as_text(in.take(in.u8()));
  const std::uint64_t expiry = in.u64();
  const ByteSpan secret = in.take(joining.secret.size());
  std::copy(secret.begin(), secret.end(), joining.secret.begin());
  const auto latest = static_cast<std::uint64_t>(kLatestExpiry.time_since_epoch().count());
  if (in.failed() || !in.at_end() || kind > 1 || expiry > latest || !is_gateway_url(joining.gateway_url) ||
      !check_name("org", joining.org) || !check_name("site", joining.site)) {
    return Error{
        Errc::JoiningStringInvalid,
        "the joining string holds values that make no sense, though it is complete; ask for a new one"};
  }
  joining.expires_at = UtcTime{std::chrono::seconds{expiry}};
  return joining;
}

Result<void> JoiningString::check_expiry(UtcTime now) const {
  if (now < expires_at) return {};
  return Error{Errc::JoiningStringExpired,
               "the joining string expired at " + utc_text(expires_at) + " and this host's clock says " +
                   utc_text(now) + "; ask the provider for a new one ('culvert-gateway join-token " + org +
                   " " + site + "'), or correct the clock if it is wrong"};
}

Trust JoiningString::trust_anchor() const {
  if (trust == TrustKind::RootFingerprint) return certs::RootFingerprint{root_fingerprint};
  return certs::SystemRoots{};
}

JoiningSecret new_joining_secret() {
  JoiningSecret secret{};
  const int done =
      RAND_bytes(reinterpret_cast<unsigned char*>(secret.data()), static_cast<int>(secret.size()));
  TUNNEL_ASSERT(done == 1);
  return secret;
}

std::string joining_secret_hash(const JoiningSecret& secret) {
  return to_hex(sha256(secret));
}

}  // namespace culvert::certs
