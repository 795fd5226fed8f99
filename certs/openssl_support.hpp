// What every source file here needs of OpenSSL: owners for its objects and its last error as text. Not
// included by public headers, which name OpenSSL types through <openssl/types.h> only.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

namespace culvert::certs {

template <auto Free>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using EvpPkeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using X509ReqPtr = std::unique_ptr<X509_REQ, OpensslFree<X509_REQ_free>>;

/// Reads `text` without copying it; `text` outlives the BIO.
BioPtr reading_bio(std::string_view text);
BioPtr writing_bio();
std::string written_text(BIO* bio);

/// The latest reason in this thread's OpenSSL error queue ("no start line"), which is emptied.
std::string openssl_reason();

}  // namespace culvert::certs
