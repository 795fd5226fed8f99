#include "certs/inspection.hpp"

#include "certs/enrolment_request.hpp"
#include "certs/private_key.hpp"
#include "certs/site_identity.hpp"

namespace culvert::certs {

namespace {

using Json = nlohmann::ordered_json;

std::string_view validity(UtcTime begin, UtcTime end, UtcTime now) {
  if (now < begin) return "not yet valid";
  return now < end ? "valid" : "expired";
}

Json usage_of(const Certificate& certificate) {
  Json usage = Json::array();
  if (certificate.is_ca()) usage.push_back("authority");
  if (certificate.allows_server()) usage.push_back("server");
  if (certificate.allows_client()) usage.push_back("client");
  return usage;
}

}  // namespace

Json describe(const Certificate& certificate, UtcTime now) {
  const AlternativeNames names = certificate.names();
  Json json;
  json["kind"] = "certificate";
  json["subject"] = certificate.subject();
  json["issuer"] = certificate.issuer();
  json["serial"] = certificate.serial();
  json["not_before"] = utc_text(certificate.not_before());
  json["not_after"] = utc_text(certificate.not_after());
  json["state"] = validity(certificate.not_before(), certificate.not_after(), now);
  json["usage"] = usage_of(certificate);
  json["dns"] = names.dns;
  json["ip"] = names.ip;
  json["uri"] = names.uri;
  if (const auto site = SiteIdentity::of(certificate)) {
    json["org"] = site->org;
    json["site"] = site->site;
  }
  json["thumbprint"] = thumbprint_text(certificate.thumbprint());
  return json;
}

Json describe(const JoiningString& joining, UtcTime now) {
  const bool pinned = joining.trust == JoiningString::TrustKind::RootFingerprint;
  Json json;
  json["kind"] = "joining string";
  json["gateway_url"] = joining.gateway_url;
  json["trust"] = pinned ? "root fingerprint" : "system roots";
  if (pinned) json["root_fingerprint"] = thumbprint_text(joining.root_fingerprint);
  json["org"] = joining.org;
  json["site"] = joining.site;
  json["expires_at"] = utc_text(joining.expires_at);
  json["state"] = joining.check_expiry(now) ? "valid" : "expired";
  return json;
}

Json describe(const DirectoryReport& report) {
  Json json;
  json["keys"] = report.keys;
  json["certificates"] = report.certificates;
  json["healthy"] = report.healthy();
  json["findings"] = Json::array();
  for (const Finding& finding : report.findings) {
    json["findings"].push_back(
        {{"severity", finding.severity == Finding::Severity::Problem ? "problem" : "warning"},
         {"file", finding.file.string()},
         {"message", finding.message}});
  }
  return json;
}

Result<Json> describe_pem(std::string_view pem, UtcTime now) {
  Json list = Json::array();
  if (pem.find("PRIVATE KEY-----") != pem.npos) {
    const auto key = PrivateKey::from_pem(pem);
    if (!key) return key.error();
    list.push_back({{"kind", "private key"},
                    {"curve", "P-256"},
                    {"public_key_sha256", thumbprint_text(key->public_key().fingerprint())}});
  } else if (pem.find("CERTIFICATE REQUEST-----") != pem.npos) {
    const auto request = EnrolmentRequest::from_pem(pem);
    if (!request) return request.error();
    list.push_back({{"kind", "certificate request"},
                    {"curve", "P-256"},
                    {"public_key_sha256", thumbprint_text(request->key_fingerprint())}});
  } else {
    const auto chain = chain_from_pem(pem);
    if (!chain) return chain.error();
    for (const Certificate& certificate : *chain) list.push_back(describe(certificate, now));
  }
  return list;
}

std::string to_lines(const Json& object) {
  std::string lines;
  for (const auto& [key, value] : object.items()) {
    std::string text;
    if (value.is_array()) {
      for (const Json& item : value) text += (text.empty() ? "" : ", ") + item.get<std::string>();
    } else {
      text = value.is_string() ? value.get<std::string>() : value.dump();
    }
    if (text.empty()) continue;
    std::string label = key;
    label.resize(std::max<std::size_t>(label.size(), 18), ' ');
    lines += label + "  " + text + "\n";
  }
  return lines;
}

}  // namespace culvert::certs
