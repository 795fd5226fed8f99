#include "certs/enrolment_request.hpp"

#include <openssl/pem.h>

#include "certs/openssl_support.hpp"

namespace culvert::certs {

Result<EnrolmentRequest> EnrolmentRequest::make(const PrivateKey& key) {
  const X509ReqPtr request{X509_REQ_new()};
  const unsigned char name[] = "agent";
  const bool made = request && X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_UTF8,
                                               name, -1, -1, 0) == 1 &&
                    X509_REQ_set_pubkey(request.get(), key.native()) == 1 &&
                    X509_REQ_sign(request.get(), key.native(), EVP_sha256()) > 0;
  if (!made) return Error{Errc::KeyInvalid, "could not sign a certificate request: " + openssl_reason()};
  const BioPtr bio = writing_bio();
  const int done = PEM_write_bio_X509_REQ(bio.get(), request.get());
  TUNNEL_ASSERT(done == 1);
  return EnrolmentRequest{written_text(bio.get()), key.public_key()};
}

Result<EnrolmentRequest> EnrolmentRequest::from_pem(std::string_view pem) {
  if (pem.size() > kMaxPemSize) {
    return Error{Errc::CertificateInvalid, "the certificate request has " + std::to_string(pem.size()) +
                                               " bytes, more than " + std::to_string(kMaxPemSize)};
  }
  const BioPtr bio = reading_bio(pem);
  const X509ReqPtr request{PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr)};
  if (!request) {
    return Error{Errc::CertificateInvalid,
                 "no readable certificate request (" + openssl_reason() +
                     "); expected PEM beginning with -----BEGIN CERTIFICATE REQUEST-----"};
  }
  EVP_PKEY* native = X509_REQ_get0_pubkey(request.get());
  auto key = PublicKey::share(native);
  if (!key) return std::move(key).error();
  if (X509_REQ_verify(request.get(), native) != 1) {
    openssl_reason();  // Leaves no old error behind in the queue.
    return Error{Errc::CertificateInvalid, "the certificate request is not signed by the key it holds"};
  }
  return EnrolmentRequest{std::string{pem}, std::move(*key)};
}

}  // namespace culvert::certs
