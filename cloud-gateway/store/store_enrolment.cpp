// Joining tokens, enrolment, and what enrolled sites report.
#include "cloud-gateway/store/database.hpp"
#include "cloud-gateway/store/store.hpp"

namespace culvert {

using soci::into;
using soci::use;

namespace {

/// How long an expired token is remembered, so that its user reads "expired" rather than "unknown".
constexpr long long kExpiredTokenMemorySeconds = 30LL * 24 * 3600;

struct TokenRow {
  std::string org;
  std::string site;
  long long expires_at = 0;
  std::string used_spki;
  std::string serial;
  std::string pem;
  bool used = false;
};

std::optional<TokenRow> find_token(soci::session& sql, const std::string& secret_sha256) {
  TokenRow row;
  soci::indicator spki = soci::i_null;
  soci::indicator serial = soci::i_null;
  soci::indicator pem = soci::i_null;
  sql << "SELECT org, site, expires_at, used_spki_sha256, certificate_serial, certificate_pem "
         "FROM joining_tokens WHERE secret_sha256 = :secret",
      into(row.org), into(row.site), into(row.expires_at), into(row.used_spki, spki),
      into(row.serial, serial), into(row.pem, pem), use(secret_sha256);
  if (!sql.got_data()) return std::nullopt;
  row.used = spki == soci::i_ok;
  return row;
}

bool certificate_is_valid(soci::session& sql, const std::string& serial) {
  int count = 0;
  sql << "SELECT COUNT(*) FROM site_certificates WHERE serial = :serial AND revoked_at IS NULL", into(count),
      use(serial);
  return count != 0;
}

/// Read by the site, and in the log by the provider.
std::string new_one(const std::string& org, const std::string& site) {
  return "ask the provider for a new one ('culvert-gateway join-token " + org + " " + site + "')";
}

/// The answer to a secret that has been used: the same again for the same key, a refusal for any other.
Result<EnrolmentOutcome> answer_used(soci::session& sql, const TokenRow& token,
                                     const std::string& spki_sha256) {
  if (token.used_spki != spki_sha256)
    return Error{Errc::JoiningStringInvalid,
                 "this joining string was used already, with another key; " + new_one(token.org, token.site)};
  if (!certificate_is_valid(sql, token.serial))
    return Error{Errc::JoiningStringInvalid,
                 "this joining string was used already and its certificate has been revoked since; " +
                     new_one(token.org, token.site)};
  return EnrolmentOutcome{token.org, token.site, token.pem, true};
}

void record_certificate(soci::session& sql, const IssuedCertificate& issued, const TokenRow& token,
                        const EnrolmentRequest& request, long long now) {
  const CertificateRecord& certificate = issued.certificate;
  const long long issued_at = to_seconds(certificate.issued_at);
  const long long not_after = to_seconds(certificate.not_after);
  sql << "UPDATE site_certificates SET revoked_at = :now WHERE org = :org AND site = :site AND revoked_at IS "
         "NULL",
      use(now), use(token.org), use(token.site);
  sql << "INSERT INTO site_certificates (serial, org, site, spki_sha256, issued_at, not_after) "
         "VALUES (:serial, :org, :site, :spki, :issued_at, :not_after)",
      use(certificate.serial), use(token.org), use(token.site), use(request.spki_sha256), use(issued_at),
      use(not_after);
  sql << "UPDATE joining_tokens SET used_spki_sha256 = :spki, certificate_serial = :serial, certificate_pem "
         "= :pem "
         "WHERE secret_sha256 = :secret",
      use(request.spki_sha256), use(certificate.serial), use(issued.pem), use(request.secret_sha256);
}

}  // namespace

Result<void> Store::add_joining_token(const JoiningToken& token, const Actor& actor) {
  return impl_->db.transaction("make a joining token", [&](soci::session& sql) -> Result<void> {
    if (!org_exists(sql, token.org)) return unknown_org(token.org);
    const long long now = to_seconds(actor.at);
    const long long expires_at = to_seconds(token.expires_at);
    const long long forgotten = now - kExpiredTokenMemorySeconds;
    const bool new_site = !site_exists(sql, token.org, token.site);
    if (new_site)
      sql << "INSERT INTO sites (org, name, created_at) VALUES (:org, :name, :now)", use(token.org),
          use(token.site), use(now);
    sql << "DELETE FROM joining_tokens WHERE expires_at < :forgotten", use(forgotten);
    sql << "INSERT INTO joining_tokens (secret_sha256, org, site, created_at, expires_at) "
           "VALUES (:secret, :org, :site, :now, :expires_at)",
        use(token.secret_sha256), use(token.org), use(token.site), use(now), use(expires_at);
    append_audit_row(sql, actor, "site.join_token", token.org + "/" + token.site,
                     std::string{new_site ? "new_site " : ""} + "expires_at=" + std::to_string(expires_at));
    return {};
  });
}

Result<EnrolmentOutcome> Store::enrol(
    const EnrolmentRequest& request, const Actor& actor,
    const std::function<Result<IssuedCertificate>(const std::string& org, const std::string& site)>& issue) {
  return impl_->db.transaction("enrol a site", [&](soci::session& sql) -> Result<EnrolmentOutcome> {
    const auto token = find_token(sql, request.secret_sha256);
    if (!token)
      return Error{
          Errc::JoiningStringInvalid,
          "the gateway does not know this joining string: its site was removed, or it belongs to another "
          "gateway; ask the provider for a new one"};
    const long long now = to_seconds(actor.at);
    if (token->expires_at <= now)
      return Error{Errc::JoiningStringExpired,
                   "this joining string has expired; " + new_one(token->org, token->site)};
    if (token->used) return answer_used(sql, *token, request.spki_sha256);
    auto issued = issue(token->org, token->site);
    if (!issued) return std::move(issued).error();
    record_certificate(sql, *issued, *token, request, now);
    append_audit_row(sql, actor, "site.enrol", token->org + "/" + token->site,
                     "serial=" + issued->certificate.serial + " spki_sha256=" + request.spki_sha256);
    return EnrolmentOutcome{token->org, token->site, std::move(issued->pem), false};
  });
}

Result<void> Store::replace_forwards(const std::string& org, const std::string& site,
                                     const std::vector<ForwardRecord>& forwards) {
  return impl_->db.transaction("store the reported forwards", [&](soci::session& sql) -> Result<void> {
    if (!site_exists(sql, org, site)) return unknown_site(org, site);
    sql << "DELETE FROM forwards WHERE org = :org AND site = :site", use(org), use(site);
    ForwardRecord row;
    int port = 0;
    soci::statement insert = (sql.prepare << "INSERT INTO forwards (org, site, name, port, state, error) "
                                             "VALUES (:org, :site, :name, :port, :state, :error)",
                              use(org), use(site), use(row.name), use(port), use(row.state), use(row.error));
    for (const ForwardRecord& forward : forwards) {
      row = forward;
      port = forward.port;
      insert.execute(true);
    }
    return {};
  });
}

Result<std::vector<ForwardRecord>> Store::list_forwards(const std::string& org, const std::string& site) {
  using List = Result<std::vector<ForwardRecord>>;
  return impl_->db.transaction("list the reported forwards", [&](soci::session& sql) -> List {
    std::vector<ForwardRecord> forwards;
    ForwardRecord row;
    int port = 0;
    soci::statement rows =
        (sql.prepare << "SELECT name, port, state, error FROM forwards WHERE org = :org AND "
                        "site = :site ORDER BY name",
         use(org), use(site), into(row.name), into(port), into(row.state), into(row.error));
    rows.execute();
    while (rows.fetch()) {
      row.port = static_cast<std::uint16_t>(port);
      forwards.push_back(row);
    }
    return forwards;
  });
}

}  // namespace culvert
