// TLS on a connected socket, for looking: nothing is believed, and nothing secret may be sent.
#pragma once

#include <string>
#include <vector>

#include "certs/certificate.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/net/openssl_handles.hpp"

namespace culvert {

enum class TlsOutcome {
  NotTried,
  Done,
  NotTls,  ///< The other end speaks, but not TLS.
  Ended,   ///< It ended the connection.
  Silent,  ///< It takes the connection and says nothing.
  Failed,  ///< An alert; the detail has it.
};

class TlsProbe {
 public:
  /// @param fd  connected, non-blocking; outlives the probe.
  /// @param deadline  of the handshake.
  TlsProbe(const std::string& host, int fd, Instant deadline);

  void handshake();
  TlsOutcome outcome() const { return outcome_; }
  const std::string& detail() const { return detail_; }
  const std::string& version() const { return version_; }  ///< "TLSv1.3"; empty before.
  std::vector<certs::Certificate> presented() const;

  /// Sends `request`, reads until its answer is whole, the end or the deadline. @return what came.
  std::string exchange(const std::string& request, Instant deadline);
  /// Of the last exchange(): the connection ended without the farewell that only the other end can seal.
  bool was_cut() const { return cut_; }
  /// Of the last exchange(): the other end itself ended the connection.
  bool was_closed() const { return closed_; }

 private:
  void fail(int why, int system_reason);
  void note_end(int why);
  bool send_all(const std::string& request, Instant deadline);

  int fd_;
  Instant deadline_;
  SslContextPtr context_;
  SslPtr ssl_;
  TlsOutcome outcome_ = TlsOutcome::NotTried;
  std::string detail_;
  std::string version_;
  bool cut_ = false;
  bool closed_ = false;
};

/// GET /tunnel/v1/health, answered before anybody is known; the connection stays open if `lasting`.
std::string health_request(const std::string& host, bool lasting = false,
                           const std::string& more_headers = {});

}  // namespace culvert
