// The client of the gateway's REST API. Blocking calls for a control thread; never used on a data thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "certs/verification.hpp"
#include "cloud-api-client/include/cloud_api/error.hpp"
#include "cloud-api-client/include/cloud_api/identity_memory.hpp"
#include "cloud-api-client/include/cloud_api/proxy_connector.hpp"
#include "cloud-api-client/include/cloud_api/types.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::cloud_api {

constexpr Duration kDefaultTimeout = 10s;

/// Who we are: the site's certificate and key. With it ALPN `culvert/1` is offered, without it
/// `http/1.1`.
struct ClientIdentity {
  std::string certificate_pem;  ///< Leaf first, then its issuers.
  std::string key_pem;          ///< Kept in memory only; goes into no log.
};

struct ClientConfig {
  std::string gateway_url;  ///< https://HOST[:PORT]; IPv6 literals in brackets. Its host is what the
                            ///< certificate must name.
  certs::Trust trust;       ///< Which server certificates are believed.
  std::optional<ClientIdentity> identity = {};
  std::string user_agent = "culvert";
  /// Null: the gateway is reached directly. proxy_for() knows what the environment asks for.
  std::shared_ptr<ProxyConnector> proxy = {};
  /// How `identity` is proven; null: a memory of its own.
  std::shared_ptr<IdentityMemory> identity_memory = {};
};

/// One gateway. All calls are thread-safe, take a deadline that covers name resolution, TLS, reply and every
/// repetition, and return one of the errors of error.hpp with a sentence that says what to do.
/// Where repeating is safe, a call that failed on the way or with 429 or 5xx is made up to three times with
/// jittered pauses that honour Retry-After, within the deadline.
class Client {
 public:
  /// @error ConfigInvalid: URL that is not https://HOST[:PORT]. KeyInvalid or CertificateInvalid for an
  /// identity
  ///        that cannot be used.
  static Result<std::unique_ptr<Client>> create(ClientConfig config);
  ~Client();

  Result<Health> health(Duration timeout = kDefaultTimeout);
  /// @param secret  the 32 bytes of the joining string.
  Result<Enrolment> enrol(ByteSpan secret, const std::string& csr_pem, Duration timeout = kDefaultTimeout);

  Result<SiteInfo> site(Duration timeout = kDefaultTimeout);
  /// The names of the targets this site's organization may reach.
  Result<std::vector<std::string>> targets(Duration timeout = kDefaultTimeout);
  Result<std::vector<ReportedForward>> forwards(Duration timeout = kDefaultTimeout);
  /// Replaces the gateway's list with these (at most 1,000).
  Result<void> report_forwards(const std::vector<ReportedForward>& forwards,
                               Duration timeout = kDefaultTimeout);
  Result<std::vector<StreamInfo>> streams(Duration timeout = kDefaultTimeout);
  Result<SessionGrant> create_session(const SessionRequest& request, Duration timeout = kDefaultTimeout);
  /// Never repeated. A session the gateway no longer knows is success: it has ended.
  Result<void> delete_session(SessionId id, Duration timeout = kDefaultTimeout);

  /// From any thread, for good: running and later calls return Cancelled at once.
  void cancel();

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace culvert::cloud_api
