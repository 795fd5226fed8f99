#include "certs/verification.hpp"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "certs/openssl_support.hpp"
#include "certs/server_name.hpp"

namespace culvert::certs {

namespace {

using StorePtr = std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>>;

enum class Role { Server, Site };

constexpr int kAuthLevel = 2;  // At least 112 bits of strength everywhere: no SHA-1, no RSA below 2048 bits.

Error untrusted(std::string why) {
  return Error{Errc::TlsUntrusted, std::move(why)};
}

// The store of trust anchors, or why there is none.
Result<StorePtr> store_for(const Trust& trust, std::span<const Certificate> presented) {
  StorePtr store{X509_STORE_new()};
  TUNNEL_ASSERT(store != nullptr);
  if (std::holds_alternative<SystemRoots>(trust)) {
    if (X509_STORE_set_default_paths(store.get()) != 1) {
      return untrusted("the system's root certificates cannot be read (" + openssl_reason() +
                       "); install the package ca-certificates");
    }
  } else if (const auto* pinned = std::get_if<PinnedRoots>(&trust)) {
    // A pinned issuing authority is an anchor too, without its root.
    X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
    for (const Certificate& root : pinned->roots) X509_STORE_add_cert(store.get(), root.native());
  } else if (const auto* root = std::get_if<RootFingerprint>(&trust)) {
    const auto found = std::find_if(presented.begin(), presented.end(), [&](const Certificate& certificate) {
      return certificate.is_ca() && certificate.thumbprint() == root->sha256;
    });
    if (found == presented.end()) {
      return untrusted("the chain presented for '" + presented.front().subject() + "', issued by '" +
                       presented.front().issuer() + "', does not contain the pinned root " +
                       thumbprint_text(root->sha256) +
                       "; either this is not the gateway that was joined, or something on the way replaces "
                       "its certificate");
    }
    X509_STORE_add_cert(store.get(), found->native());
  }
  return store;
}

Error expired(const Certificate& certificate, UtcTime now) {
  return Error{Errc::TlsExpired, "the certificate of '" + certificate.subject() + "' expired at " +
                                     utc_text(certificate.not_after()) + " and this host's clock says " +
                                     utc_text(now) + "; renew it, or correct the clock if it is wrong"};
}

Error not_yet_valid(const Certificate& certificate, UtcTime now) {
  return Error{Errc::TlsNotYetValid, "the certificate of '" + certificate.subject() + "' is valid from " +
                                         utc_text(certificate.not_before()) +
                                         " on and this host's clock says " + utc_text(now) +
                                         "; set the clock of this host (NTP)"};
}

// OpenSSL's verdict in our words.
Error verdict(X509_STORE_CTX* context, const Certificate& leaf, Role role, UtcTime now) {
  const int code = X509_STORE_CTX_get_error(context);
  X509* current = X509_STORE_CTX_get_current_cert(context);
  const Certificate culprit = current == nullptr ? leaf : Certificate::share(current);
  switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return expired(culprit, now);
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return not_yet_valid(culprit, now);
    case X509_V_ERR_INVALID_PURPOSE:
      return untrusted("the certificate of '" + culprit.subject() + "' is not for a " +
                       (role == Role::Server ? "server" : "site") + " (extended key usage)");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return untrusted("the certificate of '" + leaf.subject() + "', issued by '" + leaf.issuer() +
                       "', does not lead to a trusted root (" + X509_verify_cert_error_string(code) +
                       "); check that this is the right address and that its root is the one to be trusted");
    default:
      return untrusted("the certificate of '" + culprit.subject() +
                       "' was refused: " + X509_verify_cert_error_string(code));
  }
}

Result<void> verify_chain(std::span<const Certificate> presented, const Trust& trust, Role role,
                          UtcTime now) {
  auto store = store_for(trust, presented);
  if (!store) return std::move(store).error();
  const std::unique_ptr<STACK_OF(X509), OpensslFree<[](STACK_OF(X509) * stack) { sk_X509_free(stack); }>>
      others{sk_X509_new_null()};
  for (const Certificate& certificate : presented.subspan(1))
    sk_X509_push(others.get(), certificate.native());

  const Certificate& leaf = presented.front();
  const StoreContextPtr context{X509_STORE_CTX_new()};
  TUNNEL_ASSERT(others != nullptr && context != nullptr);
  if (X509_STORE_CTX_init(context.get(), store->get(), leaf.native(), others.get()) != 1) {
    return untrusted("the certificate chain could not be judged: " + openssl_reason());
  }
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_purpose(param,
                                role == Role::Server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
  X509_VERIFY_PARAM_set_time(param, std::chrono::system_clock::to_time_t(now));
  X509_VERIFY_PARAM_set_auth_level(param, kAuthLevel);
  const bool good = X509_verify_cert(context.get()) == 1;
  openssl_reason();  // Its reason is in the context; the queue must not leak into the next TLS call.
  if (!good) return verdict(context.get(), leaf, role, now);
  return {};
}

Result<void> check_host(const Certificate& leaf, std::string_view host) {
  const std::string name{host};
  const bool matches = is_ip_address(name)
                           ? X509_check_ip_asc(leaf.native(), name.c_str(), 0) == 1
                           : X509_check_host(leaf.native(), name.data(), name.size(),
                                             X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1;
  if (matches && !name.empty()) return {};
  return Error{Errc::TlsWrongName,
               "the server's certificate is for " + leaf.names().to_text() + ", not for '" + name +
                   "'; use a gateway URL with one of its names, or issue it for this one"};
}

Result<void> check_thumbprint(std::span<const Certificate> presented, const LeafThumbprint& trust,
                              std::string_view host, UtcTime now) {
  const Certificate& leaf = presented.front();
  const Sha256 thumbprint = leaf.thumbprint();
  if (thumbprint != trust.sha256) {
    const bool chain_is_trusted =
        verify_chain(presented, SystemRoots{}, Role::Server, now) && check_host(leaf, host);
    return Error{Errc::TlsThumbprintMismatch,
                 (chain_is_trusted ? "Server certificate thumbprint doesn't match"
                                   : "Server certificate chain is not trusted and thumbprint doesn't match") +
                     std::string{": expected "} + thumbprint_text(trust.sha256) + ", presented " +
                     thumbprint_text(thumbprint) +
                     "; compare the presented one with what the provider publishes before changing it"};
  }
  if (now > leaf.not_after()) return expired(leaf, now);
  if (now < leaf.not_before()) return not_yet_valid(leaf, now);
  return {};
}

}  // namespace

Result<void> verify_server(std::span<const Certificate> presented, const Trust& trust, std::string_view host,
                           UtcTime now) {
  if (presented.empty()) return untrusted("the server presented no certificate");
  if (const auto* thumbprint = std::get_if<LeafThumbprint>(&trust)) {
    return check_thumbprint(presented, *thumbprint, host, now);
  }
  if (auto verified = verify_chain(presented, trust, Role::Server, now); !verified) return verified;
  return check_host(presented.front(), host);
}

Result<SiteIdentity> verify_site(std::span<const Certificate> presented, const Trust& trust, UtcTime now) {
  if (presented.empty()) return untrusted("the site presented no certificate");
  if (const auto* thumbprint = std::get_if<LeafThumbprint>(&trust)) {
    if (auto checked = check_thumbprint(presented, *thumbprint, {}, now); !checked)
      return std::move(checked).error();
  } else if (auto verified = verify_chain(presented, trust, Role::Site, now); !verified) {
    return std::move(verified).error();
  }
  auto identity = SiteIdentity::of(presented.front());
  if (!identity) return Error{Errc::TlsWrongName, identity.error().message()};
  return identity;
}

}  // namespace culvert::certs
