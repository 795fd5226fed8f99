// The gateway's listening sockets. Accepting never stops for good: when descriptors run out it pauses and
// goes on.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "cloud-gateway/listen_address.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

class Listener {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Accepted = std::function<void(Socket)>;

  /// @param address  IPv6 addresses take IPv6 only; port 0 is any free one.
  /// @error PortInUse, IoFailed (with what to do about privileged ports).
  static Result<std::unique_ptr<Listener>> open(boost::asio::io_context& io, const ListenAddress& address,
                                                Accepted accepted);

  ListenAddress address() const;  ///< As it is bound.
  void close();

 private:
  Listener(boost::asio::io_context& io, Accepted accepted);
  void accept();

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  Accepted accepted_;
};

}  // namespace culvert
