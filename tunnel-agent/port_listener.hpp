// The listening sockets of one forward on an io_context. Lives on that context's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <vector>

#include "tunnel-agent/listen_socket.hpp"
#include "tunnel-agent/stream_sink.hpp"
#include "tunnel-core/base/time.hpp"

namespace culvert {

class PortListener {
 public:
  PortListener(boost::asio::io_context& context, Forward forward, StreamSink& sink);
  PortListener(const PortListener&) = delete;
  PortListener& operator=(const PortListener&) = delete;
  ~PortListener() { close(); }

  /// Opens the port on all its addresses and accepts from now on.
  /// @error as open_listen_sockets(); nothing is open then.
  Result<void> open();
  /// Accepts on sockets that listen already.
  void open_with(std::vector<UniqueFd> sockets);
  /// New connections are refused by the kernel from now on; accepted ones are not touched.
  void close();

  bool is_open() const { return !sockets_.empty(); }
  const Forward& forward() const { return forward_; }
  /// For streams that open from now on.
  void set_weight(std::uint8_t weight) { forward_.weight = weight; }

 private:
  struct Socket;

  void wait(const std::shared_ptr<Socket>& socket);
  void accept_some(const std::shared_ptr<Socket>& socket);
  void back_off(const std::shared_ptr<Socket>& socket, int reason);
  void take(int fd, const SourceAddress& source);
  void refuse(int fd, const SourceAddress& source);

  boost::asio::io_context& context_;
  Forward forward_;
  StreamSink& sink_;
  // Shared with handlers that are still on their way when the port is closed: they see `closed` and do
  // nothing.
  std::vector<std::shared_ptr<Socket>> sockets_;
  Instant next_refusal_line_{};
  std::uint64_t unlogged_refusals_ = 0;
};

}  // namespace culvert
