#include "firewall-vib/depot_server.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <mutex>
#include <set>
#include <thread>

#include "firewall-vib/depot_connection.hpp"
#include "tunnel-core/daemon/port_holder.hpp"
#include "tunnel-core/obs/signal_mask.hpp"

namespace culvert::firewall {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

bool family_is_missing(const error_code& failed) {
  return failed == asio::error::address_family_not_supported || failed == asio::error::no_protocol_option ||
         failed.value() == EADDRNOTAVAIL;
}

std::string why(const tcp::endpoint& endpoint, const error_code& failed) {
  const std::string where = fmt::format("port {}", endpoint.port());
  if (failed == asio::error::address_in_use) {
    const std::string holder = port_holder(endpoint.port());
    return fmt::format("{} is in use by {}; stop it, or set another [depot] port in agent.toml", where,
                       holder.empty() ? "another process" : holder);
  }
  if (failed == asio::error::access_denied)
    return fmt::format("{} needs CAP_NET_BIND_SERVICE; set a [depot] port from 1024 on in agent.toml", where);
  return fmt::format("cannot listen on {} {}: {}; check [depot] in agent.toml",
                     endpoint.address().to_string(), where, failed.message());
}

}  // namespace

/// Pauses when descriptors run out; without a pause it would spin.
struct Door {
  explicit Door(asio::io_context& io) : acceptor(io), pause(io) {}
  tcp::acceptor acceptor;
  asio::steady_timer pause;
};

struct DepotServer::Impl {
  Impl(DepotListen wanted, std::vector<Member> first, std::chrono::milliseconds retry_every)
      : listen(std::move(wanted)),
        retry(retry_every),
        files(std::make_shared<const DepotFiles>(std::move(first))) {}

  // ---- any thread

  std::shared_ptr<const DepotFiles> current() {
    const std::lock_guard guard{mutex};
    return files;
  }

  void set_state(DepotState next) {
    const std::lock_guard guard{mutex};
    state = std::move(next);
  }

  // ---- the depot's thread, and before it starts

  std::vector<tcp::endpoint> endpoints(std::string& error) const {
    std::vector<tcp::endpoint> found;
    for (const std::string& text : listen.bind) {
      error_code failed;
      const auto address = asio::ip::make_address(text, failed);
      if (failed) error = fmt::format("'{}' in [depot] bind is no IP address", text);
      found.emplace_back(address, listen.port);
    }
    if (found.empty())
      found = {{asio::ip::address_v4::any(), listen.port}, {asio::ip::address_v6::any(), listen.port}};
    return found;
  }

  error_code open_one(const tcp::endpoint& endpoint) {
    auto door = std::make_unique<Door>(io);
    tcp::acceptor& acceptor = door->acceptor;
    error_code failed;
    acceptor.open(endpoint.protocol(), failed);
    if (!failed) acceptor.set_option(tcp::acceptor::reuse_address(true), failed);
    if (!failed && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), failed);
    if (!failed) acceptor.bind(endpoint, failed);
    if (!failed) acceptor.listen(asio::socket_base::max_listen_connections, failed);
    if (!failed) doors.push_back(std::move(door));
    return failed;
  }

  /// All addresses or none, as for a forward.
  std::string open_all() {
    std::string error;
    const auto wanted = endpoints(error);
    if (!error.empty()) return error;
    for (const tcp::endpoint& endpoint : wanted) {
      const error_code failed = open_one(endpoint);
      if (!failed || (endpoint.address().is_unspecified() && family_is_missing(failed))) continue;
      doors.clear();
      return why(endpoint, failed);
    }
    return doors.empty() ? "this machine has neither IPv4 nor IPv6" : "";
  }

  void open() {
    const std::string error = open_all();
    if (error.empty()) {
      const std::uint16_t port = doors.front()->acceptor.local_endpoint().port();
      set_state({true, port, ""});
      spdlog::info("depot serves port={}", port);
      for (auto& door : doors) accept(*door);
      return;
    }
    // Said once; `culvert-agent firewall` says it for as long as it is so.
    if (std::exchange(last_error, error) != error) spdlog::warn("depot does not serve: {}", error);
    set_state({false, listen.port, error});
    retry_timer.expires_after(retry);
    retry_timer.async_wait([this](error_code cancelled) {
      if (!cancelled && !stopped) open();
    });
  }

  void accept(Door& door) {
    door.acceptor.async_accept([this, &door](error_code failed, tcp::socket socket) {
      if (stopped) return;
      if (failed) return accept_later(door);
      // One too many is closed at once.
      if (connections.size() < kMaxConnections) serve(std::move(socket));
      accept(door);
    });
  }

  void accept_later(Door& door) {
    door.pause.expires_after(std::chrono::milliseconds{200});
    door.pause.async_wait([this, &door](error_code cancelled) {
      if (!cancelled && !stopped) accept(door);
    });
  }

  void serve(tcp::socket socket) {
    auto connection = std::make_shared<DepotConnection>(
        std::move(socket), [this] { return current(); },
        [this](const std::shared_ptr<DepotConnection>& over) { connections.erase(over); });
    connections.insert(connection);
    connection->start();
  }

  void stop() {
    stopped = true;
    retry_timer.cancel();
    for (auto& door : doors) {
      door->pause.cancel();
      door->acceptor.close();
    }
    for (const auto& connection : std::set{connections}) connection->close();
  }

  void run() {
    for (;;) {
      try {
        io.run();
        return;
      } catch (const std::exception& error) {
        spdlog::error("depot: {}", error.what());  // One client's misfortune; the others are served on.
      }
    }
  }

  const DepotListen listen;
  const std::chrono::milliseconds retry;
  asio::io_context io{1};
  std::vector<std::unique_ptr<Door>> doors;
  asio::steady_timer retry_timer{io};
  std::set<std::shared_ptr<DepotConnection>> connections;
  std::string last_error;
  bool stopped = false;

  std::mutex mutex;  ///< For the two below.
  std::shared_ptr<const DepotFiles> files;
  DepotState state;

  std::thread thread;
};

DepotServer::DepotServer(DepotListen listen, std::vector<Member> files, std::chrono::milliseconds retry)
    : impl_(std::make_unique<Impl>(std::move(listen), std::move(files), retry)) {
  impl_->open();
  const AllSignalsBlocked blocked;
  impl_->thread = std::thread{[impl = impl_.get()] { impl->run(); }};
}

DepotServer::~DepotServer() {
  asio::post(impl_->io, [impl = impl_.get()] { impl->stop(); });
  impl_->thread.join();
}

void DepotServer::replace(std::vector<Member> files) {
  auto next = std::make_shared<const DepotFiles>(std::move(files));
  const std::lock_guard guard{impl_->mutex};
  impl_->files = std::move(next);
}

DepotState DepotServer::state() const {
  const std::lock_guard guard{impl_->mutex};
  return impl_->state;
}

}  // namespace culvert::firewall
