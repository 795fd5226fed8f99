// Connections that have not said a byte: a bare readiness handler each (under 1 KiB), a bounded number of
// them, for a bounded time. A port scan costs nothing beyond (guarantee G4). Of one thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>

#include "tunnel-core/base/time.hpp"

namespace culvert {

class WaitingRoom {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Spoke = std::function<void(Socket)>;

  /// @param spoke  gets each connection whose first byte has come.
  WaitingRoom(boost::asio::io_context& io, std::size_t most, Duration patience, Spoke spoke);

  /// When the room is full, whoever has waited longest leaves.
  void enter(Socket socket);
  std::size_t waiting() const { return guests_.size(); }
  void close();

 private:
  struct Guest {
    Socket socket;
    std::chrono::steady_clock::time_point until;
  };

  void sweep();

  const std::size_t most_;
  const std::chrono::steady_clock::duration patience_;
  Spoke spoke_;
  std::list<std::shared_ptr<Guest>> guests_;  ///< By time of arrival; shared with each pending handler.
  boost::asio::steady_timer timer_;
  bool closed_ = false;
};

}  // namespace culvert
