// HTTPS on the gateway's one port: handshake, REST calls, and lanes on their way to their owner. One
// coroutine a connection; the store's work is done on the control threads.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "certs/certificate.hpp"
#include "certs/site_identity.hpp"
#include "cloud-gateway/api/api_router.hpp"
#include "cloud-gateway/edge/http_request.hpp"
#include "cloud-gateway/edge/lane_admission.hpp"
#include "cloud-gateway/edge/stranger_table.hpp"
#include "tunnel-core/net/task_group.hpp"
#include "tunnel-core/net/tls_context.hpp"
#include "tunnel-core/obs/log_ration.hpp"

namespace culvert {

struct FrontConfig {
  std::size_t connections = 2048;  ///< That have spoken and are no lanes: at most 64 KiB each.
  Duration handshake_timeout = 10s;
  Duration request_timeout = 10s;     ///< For one whole request.
  Duration idle_timeout = 60s;        ///< Between requests.
  Duration stranger_lifetime = 2min;  ///< Of a connection on which no site has shown itself.
};

/// Judges a chain that a site has proven to own, as the handshake with `culvert/1` does.
using SiteJudge = std::function<Result<certs::SiteIdentity>(const std::vector<certs::Certificate>& chain)>;

class HttpFront {
 public:
  /// Everything outlives the front. All of it runs on `io`'s one thread, handlers of the API on `control`.
  HttpFront(boost::asio::io_context& io, boost::asio::thread_pool& control, TlsContext tls, SiteJudge judge,
            ApiRouter& router, const LaneAdmission& admission, const FrontConfig& config);

  /// A connection whose first byte has come. When there are too many, a stranger's is closed for it
  /// (stranger_table.hpp); when all are of sites, it is closed itself.
  void serve(boost::asio::ip::tcp::socket socket);
  /// New connections get this certificate.
  void set_tls(TlsContext tls) { tls_ = std::move(tls); }
  void close();

 private:
  struct Connection;
  using ConnectionPtr = std::shared_ptr<Connection>;

  bool make_room();
  void note_known(Connection& connection);
  void give_back_memory();
  Duration patience_with(const Connection& connection) const;
  boost::asio::awaitable<void> run(ConnectionPtr connection);
  boost::asio::awaitable<bool> handshake(ConnectionPtr connection);
  boost::asio::awaitable<bool> serve_request(ConnectionPtr connection);
  boost::asio::awaitable<ApiResponse> ask_router(ApiRequest request);
  Result<std::optional<SiteCertificate>> identify(const Connection& connection,
                                                  const HttpRequest& message) const;
  void offer_lane(Connection& connection, const HttpRequest& message, const SiteCertificate& identity);
  void refuse(Connection& connection, const HttpRequest& message, const Error& error);
  void refuse_broken(Connection& connection, const boost::system::error_code& error);
  void note_refused_lane(const Connection& connection, const certs::SiteIdentity& site, const Error& error,
                         const std::string& request_id);
  void say_last(Connection& connection, const std::string& text);

  boost::asio::io_context& io_;
  boost::asio::thread_pool& control_;
  TlsContext tls_;
  const SiteJudge judge_;
  ApiRouter& router_;
  const LaneAdmission& admission_;
  const FrontConfig config_;
  std::set<ConnectionPtr> connections_;
  std::size_t most_connections_ = 0;  ///< Since memory was last given back.
  StrangerTable strangers_;
  std::map<StrangerTable::Id, std::weak_ptr<Connection>> stranger_connections_;
  TaskGroup tasks_;
  LogRation failed_handshakes_;
  LogRation refused_sites_;  ///< Of their own: a port scan must not hide a customer's expired certificate.
  LogRation crowded_;
  std::map<std::tuple<std::string, std::string, Errc>, LogRation> refused_lanes_;
  bool closed_ = false;
};

}  // namespace culvert
