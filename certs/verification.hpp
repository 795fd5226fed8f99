// Does this certificate chain prove that the peer is who we expect? Our own answer with our own sentences;
// TLS callbacks call it with what the peer presented.
#pragma once

#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "certs/certificate.hpp"
#include "certs/site_identity.hpp"
#include "certs/utc_time.hpp"

namespace culvert::certs {

/// The roots of the operating system (SSL_CERT_FILE and SSL_CERT_DIR override them, as with every OpenSSL
/// program).
struct SystemRoots {
  friend bool operator==(const SystemRoots&, const SystemRoots&) = default;
};

/// These certificates, roots or issuing authorities, and no others.
struct PinnedRoots {
  std::vector<Certificate> roots;
};

/// The root with this SHA-256 of its certificate. The peer has to present it as part of its chain.
struct RootFingerprint {
  Sha256 sha256{};
};

/// The peer's own certificate has this SHA-256. Stands in for chain and name, not for validity in time.
struct LeafThumbprint {
  Sha256 sha256{};
};

using Trust = std::variant<SystemRoots, PinnedRoots, RootFingerprint, LeafThumbprint>;

/// @param presented  leaf first; the rest in any order.
/// @param host       the host of the gateway's URL: DNS name or IP address (without brackets).
/// @error TlsUntrusted (no chain to the trust; a site's certificate; no certificate), TlsExpired,
/// TlsNotYetValid
///        (both name certificate, time and clock), TlsWrongName (lists the names it has),
///        TlsThumbprintMismatch (shows expected and presented). Chain is judged before time, time before
///        name.
Result<void> verify_server(std::span<const Certificate> presented, const Trust& trust, std::string_view host,
                           UtcTime now);

/// @return who the site is. Whether it may come in (serial known, unrevoked, org alive) is for the store to
/// say.
/// @error as verify_server(); TlsWrongName when the certificate names no site.
Result<SiteIdentity> verify_site(std::span<const Certificate> presented, const Trust& trust, UtcTime now);

}  // namespace culvert::certs
