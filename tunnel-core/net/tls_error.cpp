#include "tunnel-core/net/tls_error.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/sslerr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <system_error>

namespace culvert {
namespace {

/// OpenSSL reports an alert of the peer as reason 1000 + its number.
constexpr int kAlertReasonOffset = SSL_AD_REASON_OFFSET;

bool looks_like_http(std::string_view bytes) {
  static constexpr std::array<std::string_view, 8> kStarts = {"GET ",    "POST ", "PUT ",  "HEAD ",
                                                              "DELETE ", "OPTIO", "CONNE", "HTTP/"};
  return std::any_of(kStarts.begin(), kStarts.end(), [bytes](std::string_view start) {
    const std::size_t n = std::min(start.size(), bytes.size());
    return n >= 4 && bytes.substr(0, n) == start.substr(0, n);
  });
}

bool refuses_our_certificate(int alert) {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

std::string alert_name(int alert) {
  if (alert == SSL_AD_CERTIFICATE_REQUIRED) return "certificate required";  // OpenSSL 3.0 has no text for it.
  return SSL_alert_desc_string_long(alert);
}

Error describe_alert(std::string_view doing, int alert) {
  const std::string number = " (TLS alert " + std::to_string(alert) + ")";
  if (refuses_our_certificate(alert)) {
    return {Errc::Unauthorized, "the peer refused our certificate: " + alert_name(alert) + number};
  }
  return {Errc::TlsFailed,
          std::string{doing} + " failed: the peer ended it with \"" + alert_name(alert) + "\"" + number};
}

Error describe_reason(std::string_view doing, int reason, const std::string& text) {
  const std::string failed = std::string{doing} + " failed: ";
  switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return {Errc::TlsFailed, failed + "the peer does not offer TLS 1.3, which is required"};
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return {Errc::TlsFailed, failed + "the peer asked for a tunnel lane but has no client certificate"};
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_MESSAGE:
      return {Errc::TlsFailed, failed + "what the peer sent is not TLS (" + text + ")"};
    default:
      return {Errc::TlsFailed, failed + (text.empty() ? "no reason was given" : text)};
  }
}

}  // namespace

std::string take_openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return {};
  const char* text = ERR_reason_error_string(code);
  return text != nullptr ? text : "OpenSSL error " + std::to_string(code);
}

Error describe_socket_failure(std::string_view doing, int system_errno) {
  const std::string failed = std::string{doing} + " failed: ";
  switch (system_errno) {
    case ECONNRESET:
    case EPIPE:
      return {Errc::IoFailed, failed + "the peer reset the connection"};
    case ETIMEDOUT:
      return {Errc::TimedOut, failed + "the peer did not answer in time, the path is dead"};
    default:
      return {Errc::IoFailed, failed + std::generic_category().message(system_errno)};
  }
}

Error describe_tls_failure(const TlsFailure& failure) {
  const unsigned long code = ERR_peek_error();
  const int reason = code == 0 ? 0 : ERR_GET_REASON(code);
  const bool from_ssl = code != 0 && ERR_GET_LIB(code) == ERR_LIB_SSL;
  const std::string text = take_openssl_reason();
  const std::string failed = std::string{failure.doing} + " failed: ";

  if (looks_like_http(failure.first_bytes)) {
    return {Errc::TlsFailed, failed + "the peer speaks plain HTTP on a TLS connection; use https"};
  }
  if (from_ssl && reason >= kAlertReasonOffset) {
    return describe_alert(failure.doing, reason - kAlertReasonOffset);
  }
  if (failure.system_errno != 0) return describe_socket_failure(failure.doing, failure.system_errno);
  if (failure.end_of_stream) {
    return {Errc::IoFailed, failed + "the connection was cut, the peer did not end TLS"};
  }
  return describe_reason(failure.doing, from_ssl ? reason : 0, text);
}

}  // namespace culvert
