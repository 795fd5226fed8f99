// sig.pkcs7 of a VIB: a detached signature over the exact bytes of descriptor.xml, as PEM.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert::firewall {

class VibSigner {
 public:
  /// @param certificates_pem  the signer's certificate first, its issuers after it.
  /// @error KeyInvalid, CertificateInvalid: unreadable, or they do not belong together.
  static Result<VibSigner> from_pem(std::string_view key_pem, std::string_view certificates_pem);

  /// SHA-256, one signer, no signed attributes: no time goes in, so an RSA key gives the same bytes each
  /// time.
  /// @error InternalError when OpenSSL cannot.
  Result<std::string> sign(std::string_view content) const;

  /// What to warn of when the signer's certificate is not valid at that time; signing works nevertheless.
  std::optional<std::string> out_of_time(std::chrono::sys_seconds now) const;

 private:
  struct Impl;
  explicit VibSigner(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;  ///< Shared by copies of the same signer.
};

struct SignatureCheck {
  std::string signer;          ///< Subject of the signer's certificate, for people.
  std::string digest;          ///< "SHA256".
  bool chain_checked = false;  ///< Whether roots were given.
};

constexpr std::size_t kMaxSignature = std::size_t{1} << 20;

/// @param roots_pem  trusted roots; empty: the signature is checked, who signed is not.
/// @error CertificateInvalid: no PKCS#7, not detached, not of this content, more or less than one signer, or
/// a
///        signer whom the roots do not vouch for.
Result<SignatureCheck> check_signature(std::string_view pem, std::string_view content,
                                       std::string_view roots_pem);

}  // namespace culvert::firewall
