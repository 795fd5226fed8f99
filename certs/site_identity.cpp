#include "certs/site_identity.hpp"

#include <algorithm>

namespace culvert::certs {

namespace {

constexpr std::string_view kOrgPart = "culvert://org/";
constexpr std::string_view kSitePart = "/site/";

bool follows_name_rule(std::string_view name) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !name.empty() && name.size() <= 63 && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

std::string SiteIdentity::to_uri() const {
  return std::string{kOrgPart} + org + std::string{kSitePart} + site;
}

Result<SiteIdentity> SiteIdentity::from_uri(std::string_view uri) {
  const std::size_t slash = uri.starts_with(kOrgPart) ? uri.find('/', kOrgPart.size()) : uri.npos;
  if (slash != uri.npos && uri.substr(slash).starts_with(kSitePart)) {
    const std::string_view org = uri.substr(kOrgPart.size(), slash - kOrgPart.size());
    const std::string_view site = uri.substr(slash + kSitePart.size());
    if (follows_name_rule(org) && follows_name_rule(site))
      return SiteIdentity{std::string{org}, std::string{site}};
  }
  return Error{Errc::CertificateInvalid, "'" + std::string{uri.substr(0, 200)} +
                                             "' names no site; expected culvert://org/ORG/site/SITE"};
}

Result<SiteIdentity> SiteIdentity::of(const Certificate& certificate) {
  const AlternativeNames names = certificate.names();
  if (names.uri.size() != 1) {
    return Error{Errc::CertificateInvalid, "the certificate names no single site (it has " + names.to_text() +
                                               "); expected one URI culvert://org/ORG/site/SITE"};
  }
  return from_uri(names.uri.front());
}

Result<void> check_name(std::string_view what, std::string_view name) {
  if (follows_name_rule(name)) return {};
  return Error{Errc::UsageInvalid, "'" + std::string{name.substr(0, 80)} + "' cannot be the name of " +
                                       (what == "org" ? "an " : "a ") + std::string{what} +
                                       ": use 1 to 63 of a-z, 0-9 and '-', not beginning with '-'"};
}

}  // namespace culvert::certs
