// One local TCP socket <-> one stream. Reads scatter into slabs, writes gather from them; no byte is copied
// here.
//
//   source -> recvmsg -> Session (kept until accepted) -> lanes        lanes -> Session -> sendmsg -> target
//
// An idle relay owns no buffer and no coroutine: one pending readiness handler is all. A relay that its
// limits hold back has none for that direction; its turn comes from the RateLimit that it waits for. Of one
// thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "tunnel-core/mux/session.hpp"
#include "tunnel-core/net/rate_limit.hpp"

namespace culvert {

namespace asio = boost::asio;
using boost::system::error_code;

class SessionDriver;

class SocketRelay : public std::enable_shared_from_this<SocketRelay> {
 public:
  /// @param socket  connected, and tuned by tune_local_socket(): itself, or the listener it was accepted on.
  /// @param limits  null: none, for good; otherwise outlives the relay's end (close() or abort()).
  SocketRelay(SessionDriver& driver, asio::ip::tcp::socket socket, const StreamLimits* limits = nullptr);

  /// The stream that the socket belongs to from now on. Whoever connects to us has mostly said something by
  /// now, whom we have just connected to has not: the first is read at once, the other when it is readable.
  void start_reading(StreamId id);
  void start_waiting(StreamId id);
  StreamId id() const { return id_; }

  void handle_readable();  ///< Event kReadable: the stream has bytes, or the end, for the socket.
  void handle_writable();  ///< Event kWritable: the stream takes bytes again.
  /// Both directions ended in order.
  void close();
  /// Ends with a TCP reset: an incomplete stream never looks complete (docs/protocol.md §6.4).
  void abort();

 private:
  /// What one read brought. `room` 0: the stream takes nothing now. `taken` 0 with room: the end; negative:
  /// `error`.
  struct Input {
    std::size_t room = 0;
    ssize_t taken = 0;
    int error = 0;
  };

  /// One direction's share of the limits.
  class Turn final : public Pacer {
   public:
    Turn(SocketRelay& relay, RelayDirection direction) : relay_(relay), direction_(direction) {}

   private:
    void handle_turn() override { relay_.handle_turn(direction_); }
    SocketRelay& relay_;
    const RelayDirection direction_;
  };

  std::size_t allowance(RelayDirection direction, std::size_t want);
  bool held_back(RelayDirection direction) const;
  void spend(RelayDirection direction, ssize_t moved);
  void settle(RelayDirection direction);
  void handle_turn(RelayDirection direction);
  void leave_limits();

  /// @param most  bytes.
  Input take_input(std::size_t most);
  void read_socket();
  void write_socket();
  void wait_for_input();
  void wait_for_room();
  void watch_for_reset();
  void handle_trouble();
  void socket_failed(int error);

  SessionDriver* driver_;  ///< Null once closed: handlers that are still queued then do nothing.
  asio::ip::tcp::socket socket_;
  const StreamLimits* limits_;
  std::array<std::unique_ptr<Turn>, 2> turns_;  ///< By RelayDirection; made when there is a limit.
  StreamId id_{};
  bool input_ended_ = false;
  bool output_ended_ = false;
  bool waiting_input_ = false;
  bool waiting_room_ = false;
  bool watching_ = false;
};

}  // namespace culvert
