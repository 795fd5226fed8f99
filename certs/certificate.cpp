#include "certs/certificate.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "certs/openssl_support.hpp"

namespace culvert::certs {

namespace {

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

std::string name_text(const X509_NAME* name) {
  const BioPtr bio = writing_bio();
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB));
  return written_text(bio.get());
}

UtcTime time_of(const ASN1_TIME* time) {
  std::tm parts{};
  // Of a malformed time we show 1970: long expired where it is an end. Chains with one never verify.
  if (ASN1_TIME_to_tm(time, &parts) != 1) return UtcTime{};
  return UtcTime{std::chrono::seconds{timegm(&parts)}};
}

std::string printable(const ASN1_STRING* string) {
  std::string text{reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                   static_cast<std::size_t>(ASN1_STRING_length(string))};
  for (char& c : text) {
    if (c < 0x21 || c > 0x7e) c = '?';
  }
  return text;
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  const int size = ASN1_STRING_length(address);
  char text[INET6_ADDRSTRLEN] = {};
  if (size != 4 && size != 16) return "?";
  inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(address), text, sizeof text);
  return text;
}

bool extended_usage_has(X509* certificate, unsigned usage) {
  const bool present = (X509_get_extension_flags(certificate) & EXFLAG_XKUSAGE) != 0;
  return present && (X509_get_extended_key_usage(certificate) & usage) != 0;
}

}  // namespace

std::string AlternativeNames::to_text() const {
  std::string text;
  for (const auto* list : {&dns, &ip, &uri}) {
    for (const std::string& name : *list) text += (text.empty() ? "" : ", ") + name;
  }
  return text.empty() ? "no name at all" : text;
}

Result<Certificate> Certificate::from_pem(std::string_view pem) {
  auto chain = chain_from_pem(pem);
  if (!chain) return std::move(chain).error();
  return std::move(chain->front());
}

Certificate Certificate::share(X509* certificate) {
  TUNNEL_ASSERT(certificate != nullptr);
  X509_up_ref(certificate);
  return Certificate{std::shared_ptr<X509>{certificate, X509_free}};
}

std::string Certificate::to_pem() const {
  const BioPtr bio = writing_bio();
  const int done = PEM_write_bio_X509(bio.get(), x509_.get());
  TUNNEL_ASSERT(done == 1);
  return written_text(bio.get());
}

std::string Certificate::subject() const {
  return name_text(X509_get_subject_name(x509_.get()));
}
std::string Certificate::issuer() const {
  return name_text(X509_get_issuer_name(x509_.get()));
}

std::string Certificate::serial() const {
  const std::unique_ptr<BIGNUM, OpensslFree<BN_free>> number{
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509_.get()), nullptr)};
  if (!number) return {};
  char* digits = BN_bn2hex(number.get());
  TUNNEL_ASSERT(digits != nullptr);
  std::string text{digits};
  OPENSSL_free(digits);
  for (char& c : text) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

UtcTime Certificate::not_before() const {
  return time_of(X509_get0_notBefore(x509_.get()));
}
UtcTime Certificate::not_after() const {
  return time_of(X509_get0_notAfter(x509_.get()));
}

AlternativeNames Certificate::names() const {
  AlternativeNames names;
  const std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>> list{
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509_.get(), NID_subject_alt_name, nullptr, nullptr))};
  for (int i = 0; list && i < sk_GENERAL_NAME_num(list.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list.get(), i);
    switch (name->type) {
      case GEN_DNS:
        names.dns.push_back(printable(name->d.dNSName));
        break;
      case GEN_IPADD:
        names.ip.push_back(address_text(name->d.iPAddress));
        break;
      case GEN_URI:
        names.uri.push_back(printable(name->d.uniformResourceIdentifier));
        break;
      default:
        break;  // Mail addresses, directory names: nothing we ever match.
    }
  }
  return names;
}

Sha256 Certificate::thumbprint() const {
  Sha256 digest{};
  unsigned size = 0;
  const int done =
      X509_digest(x509_.get(), EVP_sha256(), reinterpret_cast<unsigned char*>(digest.data()), &size);
  TUNNEL_ASSERT(done == 1 && size == digest.size());
  return digest;
}

bool Certificate::is_ca() const {
  return X509_check_ca(x509_.get()) == 1;
}
bool Certificate::is_self_signed() const {
  return X509_self_signed(x509_.get(), 1) == 1;
}
bool Certificate::allows_server() const {
  return extended_usage_has(x509_.get(), XKU_SSL_SERVER);
}
bool Certificate::allows_client() const {
  return extended_usage_has(x509_.get(), XKU_SSL_CLIENT);
}

bool Certificate::matches(const PrivateKey& key) const {
  const bool same = X509_check_private_key(x509_.get(), key.native()) == 1;
  ERR_clear_error();
  return same;
}

Result<PublicKey> Certificate::public_key() const {
  return PublicKey::share(X509_get0_pubkey(x509_.get()));
}

Result<std::vector<Certificate>> chain_from_pem(std::string_view pem) {
  if (pem.size() > kMaxChainPemSize) {
    return Error{Errc::CertificateInvalid,
                 std::to_string(pem.size()) + " bytes are too many for a chain of " +
                     "certificates; the most is " + std::to_string(kMaxChainPemSize)};
  }
  std::vector<Certificate> chain;
  const BioPtr bio = reading_bio(pem);
  for (;;) {
    const X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)};
    if (!certificate) break;
    chain.push_back(Certificate::share(certificate.get()));
  }
  const std::string reason = openssl_reason();
  if (chain.empty()) {
    return Error{Errc::CertificateInvalid, "no readable certificate (" + reason +
                                               "); expected PEM beginning with -----BEGIN CERTIFICATE-----"};
  }
  // OpenSSL ignores what it does not recognise, so a chain that was cut inside a marker would pass as a
  // shorter one.
  const std::size_t last_marker = pem.rfind("-----");
  if (count_of(pem, "-----") != 4 * chain.size() || pem.find('-', last_marker + 5) != pem.npos) {
    return Error{
        Errc::CertificateInvalid,
        "after " + std::to_string(chain.size()) +
            " certificate(s) comes something that is not a whole certificate; the file may be cut short"};
  }
  return chain;
}

std::string chain_to_pem(std::span<const Certificate> chain) {
  std::string pem;
  for (const Certificate& certificate : chain) pem += certificate.to_pem();
  return pem;
}

}  // namespace culvert::certs
