#include "firewall-vib/signature.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>

#include <vector>

namespace culvert::firewall {

namespace {

template <auto Free>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

void free_stack(STACK_OF(X509) * stack) {
  sk_X509_free(stack);
}

using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using Pkcs7Ptr = std::unique_ptr<PKCS7, OpensslFree<PKCS7_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>>;
using StackPtr = std::unique_ptr<STACK_OF(X509), OpensslFree<free_stack>>;

BioPtr reading(std::string_view text) {
  return BioPtr{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

std::string reason() {
  const char* data = nullptr;  // Says why a chain does not hold; the reason alone does not.
  int flags = 0;
  const char* text = ERR_reason_error_string(ERR_peek_last_error_data(&data, &flags));
  std::string result = text == nullptr ? "unknown reason" : text;
  if ((flags & ERR_TXT_STRING) != 0 && data != nullptr && *data != '\0') result += fmt::format(" ({})", data);
  ERR_clear_error();
  return result;
}

/// A password prompt on somebody's terminal would be a surprise.
int no_password(char*, int, int, void*) {
  return -1;
}

std::vector<X509Ptr> read_certificates(std::string_view pem) {
  std::vector<X509Ptr> certificates;
  const BioPtr in = reading(pem);
  while (X509* next = PEM_read_bio_X509(in.get(), nullptr, no_password, nullptr))
    certificates.emplace_back(next);
  ERR_clear_error();  // The end of the text is an error to OpenSSL.
  return certificates;
}

std::string subject_of(X509* certificate) {
  const BioPtr out{BIO_new(BIO_s_mem())};
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

std::string utc_text(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unknown time";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

Error broken(const std::string& why) {
  return {Errc::CertificateInvalid, "sig.pkcs7 " + why};
}

Result<StorePtr> trusted(std::string_view roots_pem) {
  StorePtr store{X509_STORE_new()};
  const auto roots = read_certificates(roots_pem);
  if (roots.empty())
    return Error{Errc::CertificateInvalid, "the trusted roots hold no certificate; give a PEM file"};
  for (const X509Ptr& root : roots) X509_STORE_add_cert(store.get(), root.get());
  // A signer of software need not be one of mail, which PKCS7_verify() asks for by itself.
  X509_STORE_set_purpose(store.get(), X509_PURPOSE_ANY);
  return store;
}

}  // namespace

struct VibSigner::Impl {
  KeyPtr key;
  std::vector<X509Ptr> certificates;
};

Result<VibSigner> VibSigner::from_pem(std::string_view key_pem, std::string_view certificates_pem) {
  auto impl = std::make_shared<Impl>();
  impl->key.reset(PEM_read_bio_PrivateKey(reading(key_pem).get(), nullptr, no_password, nullptr));
  if (!impl->key) {
    return Error{Errc::KeyInvalid,
                 fmt::format("the signing key cannot be read: {}; give an unencrypted PEM key", reason())};
  }
  impl->certificates = read_certificates(certificates_pem);
  if (impl->certificates.empty()) {
    return Error{Errc::CertificateInvalid,
                 "the signing certificate cannot be read; give a PEM file, the signer's first"};
  }
  if (EVP_PKEY_get_base_id(impl->key.get()) != EVP_PKEY_RSA &&
      EVP_PKEY_get_base_id(impl->key.get()) != EVP_PKEY_EC) {
    return Error{Errc::KeyInvalid,
                 "the signing key is neither RSA nor ECDSA, and the signature of a VIB (PKCS#7 with SHA-256) "
                 "knows no other; give such a key"};
  }
  if (X509_check_private_key(impl->certificates.front().get(), impl->key.get()) != 1) {
    ERR_clear_error();
    return Error{Errc::CertificateInvalid,
                 "the signing key is not that of the first certificate; put the signer's certificate first"};
  }
  return VibSigner{std::move(impl)};
}

Result<std::string> VibSigner::sign(std::string_view content) const {
  const auto failed = [] {
    return Error{Errc::InternalError, fmt::format("cannot sign descriptor.xml: {}", reason())};
  };
  constexpr int kFlags = PKCS7_DETACHED | PKCS7_BINARY | PKCS7_NOATTR | PKCS7_PARTIAL;
  const StackPtr issuers{sk_X509_new_null()};
  for (std::size_t i = 1; i < impl_->certificates.size(); ++i)
    sk_X509_push(issuers.get(), impl_->certificates[i].get());
  const BioPtr in = reading(content);
  const Pkcs7Ptr signature{PKCS7_sign(nullptr, nullptr, issuers.get(), in.get(), kFlags)};
  if (!signature ||
      PKCS7_sign_add_signer(signature.get(), impl_->certificates.front().get(), impl_->key.get(),
                            EVP_sha256(), kFlags) == nullptr ||
      PKCS7_final(signature.get(), in.get(), kFlags) != 1)
    return failed();
  const BioPtr out{BIO_new(BIO_s_mem())};
  if (PEM_write_bio_PKCS7(out.get(), signature.get()) != 1) return failed();
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

std::optional<std::string> VibSigner::out_of_time(std::chrono::sys_seconds now) const {
  X509* const certificate = impl_->certificates.front().get();
  const ASN1_TIME* const first = X509_get0_notBefore(certificate);
  const ASN1_TIME* const last = X509_get0_notAfter(certificate);
  const std::time_t at = std::chrono::system_clock::to_time_t(now);
  const bool expired = ASN1_TIME_cmp_time_t(last, at) < 0;
  if (!expired && ASN1_TIME_cmp_time_t(first, at) <= 0) return {};
  return fmt::format(
      "the certificate of '{}' {} (valid from {} to {}): `culvert-vib verify --trust` refuses this "
      "signature, and so do hosts that check it; sign with a valid one",
      subject_of(certificate), expired ? "has expired" : "is not valid yet", utc_text(first), utc_text(last));
}

Result<SignatureCheck> check_signature(std::string_view pem, std::string_view content,
                                       std::string_view roots_pem) {
  if (pem.size() > kMaxSignature) return broken("is larger than 1 MiB");
  const Pkcs7Ptr signature{PEM_read_bio_PKCS7(reading(pem).get(), nullptr, no_password, nullptr)};
  if (!signature) return broken(fmt::format("is no PKCS#7 in PEM: {}", reason()));
  if (PKCS7_type_is_signed(signature.get()) != 1 || signature->d.sign == nullptr)
    return broken("is PKCS#7, but no signature");
  if (PKCS7_get_detached(signature.get()) != 1)
    return broken("carries content of its own; it has to be detached");
  STACK_OF(PKCS7_SIGNER_INFO)* const infos = PKCS7_get_signer_info(signature.get());
  if (infos == nullptr || sk_PKCS7_SIGNER_INFO_num(infos) != 1) return broken("has not exactly one signer");

  StorePtr store{X509_STORE_new()};
  if (!roots_pem.empty()) {
    auto roots = trusted(roots_pem);
    if (!roots) return std::move(roots).error();
    store = std::move(*roots);
  }
  const BioPtr in = reading(content);
  const int flags = PKCS7_BINARY | (roots_pem.empty() ? PKCS7_NOVERIFY : 0);
  if (PKCS7_verify(signature.get(), nullptr, store.get(), in.get(), nullptr, flags) != 1)
    return broken(fmt::format("does not hold for this descriptor.xml: {}", reason()));
  const StackPtr signers{PKCS7_get0_signers(signature.get(), nullptr, 0)};
  X509_ALGOR* digest = nullptr;
  PKCS7_SIGNER_INFO_get0_algs(sk_PKCS7_SIGNER_INFO_value(infos, 0), nullptr, &digest, nullptr);
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, digest);
  const char* name = OBJ_nid2sn(OBJ_obj2nid(object));
  return SignatureCheck{subject_of(sk_X509_value(signers.get(), 0)), name == nullptr ? "unknown" : name,
                        !roots_pem.empty()};
}

}  // namespace culvert::firewall
