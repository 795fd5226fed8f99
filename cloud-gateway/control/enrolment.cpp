#include "cloud-gateway/control/enrolment.hpp"

#include <algorithm>
#include <array>

#include "certs/joining_string.hpp"
#include "tunnel-core/daemon/process.hpp"

namespace culvert {

Enroller::Enroller(Store& store, PolicyHub& policy, certs::Authority authority, std::string gateway_url)
    : store_(store),
      policy_(policy),
      authority_(std::move(authority)),
      gateway_url_(std::move(gateway_url)) {}

Result<Enrolment> Enroller::enrol(std::string_view secret_hex, std::string_view csr_pem,
                                  const std::string& from, WallTime now) {
  certs::JoiningSecret secret{};
  const auto bytes = from_hex(secret_hex);
  if (!bytes || bytes->size() != secret.size())
    return Error{Errc::UsageInvalid, "'secret' must be 64 hexadecimal digits"};
  std::copy(bytes->begin(), bytes->end(), secret.begin());
  auto request = certs::EnrolmentRequest::from_pem(csr_pem);
  if (!request) return Error{Errc::UsageInvalid, "'csr_pem': " + request.error().message()};

  // The store looks a hash up, it compares no secret: how long that takes tells nothing about the secret.
  const EnrolmentRequest wanted{certs::joining_secret_hash(secret), to_hex(request->key_fingerprint())};
  auto outcome =
      store_.enrol(wanted, {"address:" + from, now}, [&](const std::string& org, const std::string& site) {
        return issue({org, site}, request->public_key(), now);
      });
  if (!outcome) return std::move(outcome).error();
  // Also for a repeated one: what failed the first time may have been this.
  if (auto applied = policy_.rebuild(store_); !applied) return std::move(applied).error();
  auto certificate = certs::Certificate::from_pem(outcome->certificate_pem);
  if (!certificate) return std::move(certificate).error().at("read the stored certificate");

  return Enrolment{{outcome->org, outcome->site}, std::move(outcome->certificate_pem),
                   authority_.root().to_pem(),    gateway_url_,
                   certificate->not_after(),      outcome->repeated};
}

Result<IssuedCertificate> Enroller::issue(const certs::SiteIdentity& identity, const certs::PublicKey& key,
                                          WallTime now) const {
  auto certificate = authority_.issue_site(identity, key, now);
  if (!certificate) return std::move(certificate).error().at("issue a certificate for", identity.site);
  return IssuedCertificate{{certificate->serial(), identity.org, identity.site, to_hex(key.fingerprint()),
                            now, certificate->not_after()},
                           certificate->to_pem() + authority_.certificate().to_pem()};
}

}  // namespace culvert
