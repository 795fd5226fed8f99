// A certificate authority: the root, or one of the two issuing authorities below it. certs/README.md has the
// picture.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "certs/certificate.hpp"
#include "certs/enrolment_request.hpp"
#include "certs/private_key.hpp"
#include "certs/site_identity.hpp"
#include "certs/utc_time.hpp"

namespace culvert::certs {

enum class Purpose { Root, Sites, Server };

constexpr Lifetime kRootLifetime = days(3653);
constexpr Lifetime kIssuingLifetime = days(1826);
constexpr Lifetime kServerLifetime = days(397);  ///< The longest that browsers accept.
constexpr Lifetime kSiteLifetime = days(90);
/// A certificate begins this long before it was made, for peers whose clock is slightly behind.
constexpr Lifetime kBackdating = std::chrono::minutes{5};

/// Signs. No certificate outlives its authority: a lifetime is cut to the authority's own end.
/// Never changes once made: any number of threads may issue with one.
class Authority {
 public:
  /// A self-signed root with a new key; signs issuing authorities only.
  /// @param name  1–48 bytes of UTF-8 for people to recognise it by: "Culvert root of gw.example.net".
  /// @error UsageInvalid for the name or lifetime, KeyInvalid.
  static Result<Authority> create_root(std::string_view name, UtcTime now, Lifetime lifetime = kRootLifetime);

  /// An issuing authority with a new key. Its extended key usage allows exactly one kind of certificate.
  /// @param root     an authority of purpose Root.
  /// @param purpose  Sites or Server.
  /// @error UsageInvalid (wrong purposes, lifetime), CertificateInvalid (the root has expired), KeyInvalid.
  static Result<Authority> create_issuing(const Authority& root, Purpose purpose, UtcTime now,
                                          Lifetime lifetime = kIssuingLifetime);

  /// @param chain_pem  its own certificate first, then its issuers up to the root.
  /// @error CertificateInvalid, KeyInvalid (damaged, or another certificate's).
  static Result<Authority> load(std::string_view chain_pem, std::string_view key_pem);

  /// @param names  DNS names and IP addresses, at least one; the first becomes the subject.
  /// @error UsageInvalid (no or bad name, authority of another purpose, lifetime), CertificateInvalid (the
  ///        authority is not valid now).
  Result<Certificate> issue_server(std::span<const std::string> names, const PublicKey& key, UtcTime now,
                                   Lifetime lifetime = kServerLifetime) const;

  /// @error as issue_server().
  Result<Certificate> issue_site(const SiteIdentity& identity, const PublicKey& key, UtcTime now,
                                 Lifetime lifetime = kSiteLifetime) const;

  Purpose purpose() const { return purpose_; }
  const Certificate& certificate() const { return chain_.front(); }
  const Certificate& root() const { return chain_.back(); }
  const PrivateKey& key() const { return key_; }

  /// Its own certificate first, the root last.
  const std::vector<Certificate>& chain() const { return chain_; }
  /// `leaf`, then chain(): what a server or site presents. The root is part of it, because an agent that
  /// knows only the root's fingerprint must be shown the root.
  std::vector<Certificate> chain_below(const Certificate& leaf) const;

 private:
  Authority(Purpose purpose, std::vector<Certificate> chain, PrivateKey key)
      : purpose_(purpose), chain_(std::move(chain)), key_(std::move(key)) {}

  Purpose purpose_;
  std::vector<Certificate> chain_;
  PrivateKey key_;
};

/// "root", "sites", "server".
std::string_view purpose_name(Purpose purpose);

}  // namespace culvert::certs
