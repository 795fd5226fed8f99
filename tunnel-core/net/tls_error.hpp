// What OpenSSL, the kernel and the peer's alerts say, as Error with a sentence for a person.
#pragma once

#include <string>
#include <string_view>

#include "tunnel-core/base/error.hpp"

namespace culvert {

/// Text of OpenSSL's oldest queued error, and empties the queue. Empty when there is none.
std::string take_openssl_reason();

/// What a failed TLS operation knows besides OpenSSL's error queue.
struct TlsFailure {
  std::string_view doing;        ///< "TLS handshake", "read", "write".
  bool end_of_stream = false;    ///< The peer closed TCP without close_notify.
  int system_errno = 0;          ///< Of recv or send; 0: they did not fail.
  std::string_view first_bytes;  ///< The first bytes the peer ever sent, as many as are known.
};

/// Empties OpenSSL's error queue of this thread.
/// Unauthorized: the peer's alert refuses our certificate. TimedOut, IoFailed: the connection broke.
/// TlsFailed: everything else, among it plain HTTP and garbage.
Error describe_tls_failure(const TlsFailure& failure);

/// Error for a failed recv or send. @error TimedOut, IoFailed.
Error describe_socket_failure(std::string_view doing, int system_errno);

}  // namespace culvert
