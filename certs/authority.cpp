#include "certs/authority.hpp"

#include <openssl/obj_mac.h>

#include <algorithm>

#include "certs/certificate_builder.hpp"
#include "certs/server_name.hpp"

namespace culvert::certs {

namespace {

// X.520 ends common names at 64 characters; the issuing authorities add a word to the root's name.
constexpr std::size_t kRootNameMax = 48;
constexpr std::size_t kCommonNameMax = 64;
constexpr Lifetime kLongestLifetime = days(36525);

Error wrong_purpose(const Authority& authority, std::string_view wanted) {
  return Error{Errc::UsageInvalid, "the authority '" + authority.certificate().subject() + "' (" +
                                       std::string{purpose_name(authority.purpose())} + ") cannot issue " +
                                       std::string{wanted} + "; use the authority made for that"};
}

Result<void> check_lifetime(Lifetime lifetime) {
  if (lifetime >= std::chrono::seconds{1} && lifetime <= kLongestLifetime) return {};
  return Error{Errc::UsageInvalid, "a lifetime of " + std::to_string(lifetime.count()) +
                                       " s is not possible; choose 1 day to 36525 days"};
}

// Begins slightly in the past, ends with the issuer at the latest.
Result<CertificateForm> form_below(const Certificate& issuer, UtcTime now, Lifetime lifetime) {
  if (auto checked = check_lifetime(lifetime); !checked) return std::move(checked).error();
  if (now >= issuer.not_after()) {
    return Error{Errc::CertificateInvalid, "the authority '" + issuer.subject() + "' expired on " +
                                               utc_text(issuer.not_after()) + " (it is " + utc_text(now) +
                                               "); make a new one"};
  }
  if (now < issuer.not_before()) {
    return Error{Errc::CertificateInvalid,
                 "the authority '" + issuer.subject() + "' is valid from " + utc_text(issuer.not_before()) +
                     " and this host's clock says " + utc_text(now) + "; set the clock"};
  }
  CertificateForm form;
  form.not_before = std::max(now - kBackdating, issuer.not_before());
  form.not_after = std::min(now + lifetime, issuer.not_after());
  return form;
}

std::string common_name(const Certificate& certificate) {
  const std::string subject = certificate.subject();  // Ours have nothing but a CN.
  return subject.starts_with("CN=") ? subject.substr(3) : subject;
}

Result<Purpose> purpose_of(const Certificate& certificate) {
  if (certificate.is_ca()) {
    const bool server = certificate.allows_server();
    const bool client = certificate.allows_client();
    if (certificate.is_self_signed() && !server && !client) return Purpose::Root;
    if (client && !server) return Purpose::Sites;
    if (server && !client) return Purpose::Server;
  }
  return Error{Errc::CertificateInvalid,
               "'" + certificate.subject() +
                   "' is not an authority for either sites or servers; use the files "
                   "that culvert-certs init-root made"};
}

}  // namespace

std::string_view purpose_name(Purpose purpose) {
  switch (purpose) {
    case Purpose::Root:
      return "root";
    case Purpose::Sites:
      return "sites";
    case Purpose::Server:
      return "server";
  }
  return "unknown";
}

Result<Authority> Authority::create_root(std::string_view name, UtcTime now, Lifetime lifetime) {
  const bool printable = std::all_of(
      name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
  if (name.empty() || name.size() > kRootNameMax || !printable) {
    return Error{Errc::UsageInvalid, "'" + std::string{name.substr(0, 100)} +
                                         "' cannot be the name of a root: use 1 to " +
                                         std::to_string(kRootNameMax) + " printable bytes"};
  }
  if (auto checked = check_lifetime(lifetime); !checked) return std::move(checked).error();
  auto key = PrivateKey::generate();
  if (!key) return std::move(key).error();
  CertificateForm form;
  form.subject = {{"CN", std::string{name}}};
  form.extensions = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:1"},
                     {NID_key_usage, "critical,keyCertSign,cRLSign"}};
  form.not_before = now - kBackdating;
  form.not_after = now + lifetime;
  auto certificate = build_certificate(form, key->public_key(), nullptr, *key);
  if (!certificate) return std::move(certificate).error();
  return Authority{Purpose::Root, {std::move(*certificate)}, std::move(*key)};
}

Result<Authority> Authority::create_issuing(const Authority& root, Purpose purpose, UtcTime now,
                                            Lifetime lifetime) {
  if (root.purpose() != Purpose::Root || purpose == Purpose::Root) {
    return wrong_purpose(root, "an issuing authority of purpose " + std::string{purpose_name(purpose)});
  }
  auto form = form_below(root.certificate(), now, lifetime);
  if (!form) return std::move(form).error();
  auto key = PrivateKey::generate();
  if (!key) return std::move(key).error();
  form->subject = {{"CN", common_name(root.certificate()) + ": " + std::string{purpose_name(purpose)}}};
  form->extensions = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                      {NID_key_usage, "critical,keyCertSign,cRLSign"},
                      {NID_ext_key_usage, purpose == Purpose::Sites ? "clientAuth" : "serverAuth"}};
  auto certificate = build_certificate(*form, key->public_key(), &root.certificate(), root.key());
  if (!certificate) return std::move(certificate).error();
  return Authority{purpose, {std::move(*certificate), root.certificate()}, std::move(*key)};
}

Result<Authority> Authority::load(std::string_view chain_pem, std::string_view key_pem) {
  auto chain = chain_from_pem(chain_pem);
  if (!chain) return std::move(chain).error();
  auto key = PrivateKey::from_pem(key_pem);
  if (!key) return std::move(key).error();
  if (!chain->front().matches(*key)) {
    return Error{Errc::KeyInvalid, "the private key does not belong to the certificate '" +
                                       chain->front().subject() +
                                       "'; put back the pair that was made together"};
  }
  const auto purpose = purpose_of(chain->front());
  if (!purpose) return std::move(purpose).error();
  if (!chain->back().is_self_signed()) {
    return Error{Errc::CertificateInvalid,
                 "the chain of '" + chain->front().subject() +
                     "' ends before its root; append the root's certificate to the file"};
  }
  return Authority{*purpose, std::move(*chain), std::move(*key)};
}

Result<Certificate> Authority::issue_server(std::span<const std::string> names, const PublicKey& key,
                                            UtcTime now, Lifetime lifetime) const {
  if (purpose_ != Purpose::Server) return wrong_purpose(*this, "a server certificate");
  if (names.empty()) {
    return Error{Errc::UsageInvalid,
                 "a server certificate needs a name; give the host name that agents connect to"};
  }
  std::string alternative_names;
  for (const std::string& name : names) {
    auto entry = alternative_name_entry(name);
    if (!entry) return std::move(entry).error();
    alternative_names += (alternative_names.empty() ? "" : ",") + *entry;
  }
  auto form = form_below(certificate(), now, lifetime);
  if (!form) return std::move(form).error();
  // Only people read the subject of a server; software reads the alternative names.
  form->subject = {{"CN", names[0].size() <= kCommonNameMax ? names[0] : "culvert-gateway"}};
  form->extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                      {NID_key_usage, "critical,digitalSignature"},
                      {NID_ext_key_usage, "serverAuth"},
                      {NID_subject_alt_name, alternative_names}};
  return build_certificate(*form, key, &certificate(), key_);
}

Result<Certificate> Authority::issue_site(const SiteIdentity& identity, const PublicKey& key, UtcTime now,
                                          Lifetime lifetime) const {
  if (purpose_ != Purpose::Sites) return wrong_purpose(*this, "a site certificate");
  if (auto checked = check_name("org", identity.org); !checked) return std::move(checked).error();
  if (auto checked = check_name("site", identity.site); !checked) return std::move(checked).error();
  auto form = form_below(certificate(), now, lifetime);
  if (!form) return std::move(form).error();
  form->subject = {{"O", identity.org}, {"CN", identity.site}};
  form->extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                      {NID_key_usage, "critical,digitalSignature"},
                      {NID_ext_key_usage, "clientAuth"},
                      {NID_subject_alt_name, "URI:" + identity.to_uri()}};
  return build_certificate(*form, key, &certificate(), key_);
}

std::vector<Certificate> Authority::chain_below(const Certificate& leaf) const {
  std::vector<Certificate> chain{leaf};
  chain.insert(chain.end(), chain_.begin(), chain_.end());
  return chain;
}

}  // namespace culvert::certs
