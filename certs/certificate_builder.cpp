#include "certs/certificate_builder.hpp"

#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>

#include "certs/openssl_support.hpp"

namespace culvert::certs {

namespace {

// 128 random bits, positive and never with a leading zero byte, so that every serial has 32 hexadecimal
// digits.
bool set_random_serial(X509* certificate) {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);
  const std::unique_ptr<BIGNUM, OpensslFree<BN_free>> number{
      BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr)};
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_time(ASN1_TIME* field, UtcTime time) {
  return ASN1_TIME_adj(field, std::chrono::system_clock::to_time_t(time), 0, 0) != nullptr;
}

bool set_subject(X509* certificate, const CertificateForm& form) {
  X509_NAME* name = X509_get_subject_name(certificate);
  for (const auto& [field, value] : form.subject) {
    if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(value.data()),
                                   static_cast<int>(value.size()), -1, 0) != 1) {
      return false;
    }
  }
  return true;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>> extension{
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str())};
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool fill_in(X509* certificate, const CertificateForm& form, const PublicKey& key,
             const Certificate* issuer) {
  X509* native_issuer = issuer == nullptr ? certificate : issuer->native();
  if (X509_set_version(certificate, X509_VERSION_3) != 1 || !set_random_serial(certificate) ||
      !set_time(X509_getm_notBefore(certificate), form.not_before) ||
      !set_time(X509_getm_notAfter(certificate), form.not_after) || !set_subject(certificate, form) ||
      X509_set_issuer_name(certificate, X509_get_subject_name(native_issuer)) != 1 ||
      X509_set_pubkey(certificate, key.native()) != 1 ||
      !add_extension(certificate, native_issuer, NID_subject_key_identifier, "hash")) {
    return false;
  }
  if (issuer != nullptr &&
      !add_extension(certificate, native_issuer, NID_authority_key_identifier, "keyid:always")) {
    return false;
  }
  for (const auto& [nid, value] : form.extensions) {
    if (!add_extension(certificate, native_issuer, nid, value)) return false;
  }
  return true;
}

}  // namespace

Result<Certificate> build_certificate(const CertificateForm& form, const PublicKey& subject_key,
                                      const Certificate* issuer, const PrivateKey& signer) {
  const X509Ptr certificate{X509_new()};
  if (!certificate || !fill_in(certificate.get(), form, subject_key, issuer) ||
      X509_sign(certificate.get(), signer.native(), EVP_sha256()) <= 0) {
    return Error{Errc::CertificateInvalid, "could not make the certificate: " + openssl_reason()};
  }
  return Certificate::share(certificate.get());
}

}  // namespace culvert::certs
