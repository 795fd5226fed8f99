#include "certs/site_proof.hpp"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "certs/base64url.hpp"
#include "certs/openssl_support.hpp"
#include "tunnel-core/base/assert.hpp"

namespace culvert::certs {

namespace {

constexpr std::size_t kMaxCertificates = 4;

using DigestPtr = std::unique_ptr<EVP_MD_CTX, OpensslFree<EVP_MD_CTX_free>>;

/// The prefix keeps this signature apart from all others of the key: those of TLS begin with 64 spaces, those
/// of requests for a certificate with an ASN.1 sequence.
Bytes signed_text(ByteSpan exporter) {
  constexpr std::string_view kPrefix = "culvert/1 site proof";
  Bytes text;
  for (const char c : kPrefix) text.push_back(static_cast<std::byte>(c));
  text.push_back(std::byte{0});
  text.insert(text.end(), exporter.begin(), exporter.end());
  return text;
}

const unsigned char* octets(const Bytes& bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

Bytes sign(const PrivateKey& key, const Bytes& text) {
  const DigestPtr digest{EVP_MD_CTX_new()};
  std::size_t size = 0;
  const bool ready = EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key.native()) == 1 &&
                     EVP_DigestSign(digest.get(), nullptr, &size, octets(text), text.size()) == 1;
  TUNNEL_ASSERT(ready);
  Bytes signature(size);
  const bool done = EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                                   octets(text), text.size()) == 1;
  TUNNEL_ASSERT(done);
  signature.resize(size);
  return signature;
}

bool is_signed_by(const Certificate& leaf, const Bytes& text, const Bytes& signature) {
  const auto key = leaf.public_key();
  if (!key) return false;
  const DigestPtr digest{EVP_MD_CTX_new()};
  const bool good =
      EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr, key->native()) == 1 &&
      EVP_DigestVerify(digest.get(), octets(signature), signature.size(), octets(text), text.size()) == 1;
  if (!good) openssl_reason();  // Empties the thread's queue, where the next caller would find it.
  return good;
}

Bytes to_der(const Certificate& certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.native(), &der);
  TUNNEL_ASSERT(size > 0);
  const auto* const first = reinterpret_cast<const std::byte*>(der);
  Bytes bytes(first, first + size);
  OPENSSL_free(der);
  return bytes;
}

std::optional<Certificate> from_der(const Bytes& der) {
  const unsigned char* at = octets(der);
  const X509Ptr x509{d2i_X509(nullptr, &at, static_cast<long>(der.size()))};
  if (!x509 || at != octets(der) + der.size()) {
    openssl_reason();
    return std::nullopt;
  }
  return Certificate::share(x509.get());
}

Error not_a_proof() {
  return Error{Errc::Unauthorized, "the header Culvert-Site-Proof holds no signature with its certificates"};
}

}  // namespace

std::string make_site_proof(const PrivateKey& key, std::span<const Certificate> chain, ByteSpan exporter) {
  std::string value = base64url_encode(sign(key, signed_text(exporter)));
  for (const Certificate& certificate : chain) value += "." + base64url_encode(to_der(certificate));
  return value;
}

Result<std::vector<Certificate>> open_site_proof(std::string_view value, ByteSpan exporter) {
  if (value.size() > kMaxSiteProofSize) return not_a_proof();
  std::vector<Bytes> parts;
  for (;;) {
    const std::size_t dot = value.find('.');
    auto part = base64url_decode(value.substr(0, dot));
    if (!part || part->empty() || parts.size() > kMaxCertificates) return not_a_proof();
    parts.push_back(std::move(*part));
    if (dot == std::string_view::npos) break;
    value.remove_prefix(dot + 1);
  }
  std::vector<Certificate> chain;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    auto certificate = from_der(parts[i]);
    if (!certificate) return not_a_proof();
    chain.push_back(std::move(*certificate));
  }
  if (chain.empty()) return not_a_proof();
  if (!is_signed_by(chain.front(), signed_text(exporter), parts.front())) {
    return Error{
        Errc::Unauthorized,
        "the proof in Culvert-Site-Proof is not of this connection; something on the way ends TLS and "
        "has to let the gateway's connections pass untouched"};
  }
  return chain;
}

}  // namespace culvert::certs
