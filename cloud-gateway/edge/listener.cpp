#include "cloud-gateway/edge/listener.hpp"

#include <boost/asio/ip/v6_only.hpp>

#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
constexpr auto kPause = std::chrono::milliseconds{100};

Error describe(const std::string& address, const error_code& error) {
  if (error == boost::asio::error::address_in_use) {
    return {Errc::PortInUse,
            "cannot listen on " + address +
                ": the port is taken; stop the program that has it (ss -ltnp shows it) or change `listen`"};
  }
  if (error == boost::asio::error::access_denied) {
    return {Errc::IoFailed,
            "cannot listen on " + address +
                ": ports below 1024 need the capability CAP_NET_BIND_SERVICE, which the systemd unit gives"};
  }
  if (error == boost::system::errc::address_not_available) {
    return {Errc::IoFailed,
            "cannot listen on " + address + ": this machine does not have that address; change `listen`"};
  }
  return {Errc::IoFailed, "cannot listen on " + address + ": " + error.message()};
}

}  // namespace

Listener::Listener(boost::asio::io_context& io, Accepted accepted)
    : acceptor_(io), pause_(io), accepted_(std::move(accepted)) {}

Result<std::unique_ptr<Listener>> Listener::open(boost::asio::io_context& io, const ListenAddress& address,
                                                 Accepted accepted) {
  error_code error;
  const auto ip = boost::asio::ip::make_address(address.host, error);
  if (error) return describe(address.to_text(), error);
  std::unique_ptr<Listener> listener{new Listener{io, std::move(accepted)}};
  const tcp::endpoint endpoint{ip, address.port};
  tcp::acceptor& acceptor = listener->acceptor_;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && ip.is_v6()) acceptor.set_option(boost::asio::ip::v6_only(true), error);
  // Accepted sockets inherit it. An answer goes out in several small pieces, and each would wait a round trip
  // for the one before.
  if (!error) acceptor.set_option(tcp::no_delay(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(1024, error);
  if (error) return describe(address.to_text(), error);
  listener->accept();
  return listener;
}

ListenAddress Listener::address() const {
  error_code ignored;
  const auto endpoint = acceptor_.local_endpoint(ignored);
  return {endpoint.address().to_string(), endpoint.port()};
}

void Listener::accept() {
  acceptor_.async_accept([this](error_code error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (!error) {
      accepted_(std::move(socket));
      return accept();
    }
    // Out of descriptors or memory: trying again at once would only burn the processor.
    spdlog::warn("accepting a connection failed, pausing 100 ms: {}", error.message());
    pause_.expires_after(kPause);
    pause_.async_wait([this](error_code cancelled) {
      if (!cancelled && acceptor_.is_open()) accept();
    });
  });
}

void Listener::close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

}  // namespace culvert
