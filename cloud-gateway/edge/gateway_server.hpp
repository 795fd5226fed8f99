// The running gateway: which threads there are and what each does.
//
//   front thread    accept, TLS handshake, HTTP, admission of lanes, signals, watchdog
//   control threads REST handlers: store, cryptography of enrolment
//   admin thread    commands over DIR/admin.sock (of ControlPlane)
//   data threads    sessions with their lanes and streams; nothing else ever runs there
#pragma once

#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cloud-gateway/control_plane.hpp"
#include "cloud-gateway/edge/http_front.hpp"
#include "cloud-gateway/edge/listener.hpp"
#include "cloud-gateway/edge/waiting_room.hpp"
#include "cloud-gateway/gateway.hpp"

namespace culvert {

class GatewayServer {
 public:
  explicit GatewayServer(Gateway& gateway);
  ~GatewayServer();

  /// Opens everything and prints the `ready` line.
  /// @error PortInUse, IoFailed, those of TlsContext and AdminSocket.
  Result<void> start();
  /// Serves until SIGTERM or SIGINT, then drains: at most drain_timeout, or until the second signal.
  void run();

 private:
  Result<void> start_data_threads();
  /// @return their addresses, for people.
  Result<std::string> open_listeners();
  void watch_signals();
  void drain();
  void check_drained();
  void finish();
  void feed_watchdog();

  Gateway& gateway_;
  SlabArena arena_;
  ProcessMemory memory_;
  DialBudget dials_;
  SharedBuckets buckets_;
  std::vector<std::unique_ptr<DataThread>> data_threads_;
  std::vector<std::unique_ptr<SessionShard>> shards_;
  std::vector<std::thread> threads_;
  boost::asio::io_context front_io_{1};
  std::optional<SessionRegistry> registry_;
  std::optional<ControlPlane> control_;
  std::optional<LaneAdmission> admission_;
  std::optional<HttpFront> front_;
  std::optional<WaitingRoom> waiting_room_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  boost::asio::signal_set signals_{front_io_};
  boost::asio::steady_timer drain_timer_{front_io_};
  boost::asio::steady_timer watchdog_timer_{front_io_};
  std::chrono::steady_clock::time_point drain_until_{};
  std::vector<std::uint64_t> beats_;
  bool draining_ = false;
  boost::asio::thread_pool control_threads_{2};  ///< Last: its work uses all of the above.
};

}  // namespace culvert
