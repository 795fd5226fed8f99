// Drives one Session on one thread: its lanes, its relays, its timer. Everything that happens ends in
// flush(), which spreads events to relays and frames to lanes, 256 KiB of work at a time.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "tunnel-core/mux/session.hpp"
#include "tunnel-core/net/data_thread.hpp"
#include "tunnel-core/net/lane_driver.hpp"
#include "tunnel-core/net/socket_relay.hpp"

namespace culvert {

/// What the owner of a session is told, on the session's thread. Calls into the driver are allowed,
/// destroying it is not.
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;
  /// The peer opened a stream: authorise and dial, then SessionDriver::accept() or refuse().
  virtual void handle_offered(StreamId id, const OpenInfo& info) = 0;
  /// The peer accepted a stream that was opened here.
  virtual void handle_opened(StreamId id, const OpenInfo& info) = 0;
  /// A stream ended by a reset: the peer's (before or after accept), a time-out's, or the session's end.
  virtual void handle_reset(StreamId id, const OpenInfo& info, Errc reason, const std::string& text) = 0;
  virtual void handle_lane_up(LaneId id) = 0;
  /// @param left  lanes that remain; 0: the session waits for a new one.
  virtual void handle_lane_down(LaneId id, const Error& reason, std::size_t left) = 0;
  /// A lane was given back in order.
  virtual void handle_lane_closed(LaneId id, std::size_t left) = 0;
  virtual void handle_peer_draining() = 0;
  virtual void handle_ended(Errc reason, const std::string& text) = 0;
};

class SessionDriver {
 public:
  /// @param thread, process, observer  outlive the driver.
  SessionDriver(DataThread& thread, ProcessMemory& process, const SessionConfig& config,
                SessionObserver& observer);
  ~SessionDriver();
  SessionDriver(const SessionDriver&) = delete;
  SessionDriver& operator=(const SessionDriver&) = delete;

  /// A lane whose HELLO was authorised; see LaneDriver::start() for preface and leftover.
  /// @error those of Session::attach_lane(); `stream` is untouched then.
  Result<void> add_lane(LaneId id, std::uint32_t epoch, ByteCount peer_replay,
                        std::unique_ptr<TlsStream>& stream, std::string_view preface, ByteSpan leftover,
                        Carrier carrier = Carrier::Culvert);
  /// How a lane that is up travels.
  std::optional<Carrier> carrier_of(LaneId id) const;
  /// Gives a lane back in order; handle_lane_closed() follows.
  void retire_lane(LaneId id);

  /// Opens a stream for a source, accepted on a listener that went through tune_local_socket(). On error the
  /// socket is closed with a reset.
  /// @param limits  null: none, for good; otherwise outlives the driver.
  /// @error those of Session::open_stream().
  Result<StreamId> open(asio::ip::tcp::socket socket, OpenInfo info, const StreamLimits* limits = nullptr);
  /// Answers handle_offered() with the connected target. A stream that was reset meanwhile closes it.
  void accept(StreamId id, asio::ip::tcp::socket socket, const StreamLimits* limits = nullptr);
  void refuse(StreamId id, Errc reason, const std::string& text);

  void drain(Duration timeout);
  /// Ends the session here and tells the peer; handle_ended() is not called for it.
  void end(Errc reason, const std::string& text);

  Role role() const { return role_; }
  Session& session() { return session_; }
  const Session& session() const { return session_; }
  /// What holds back what goes to the peer.
  Limit limit() const;
  /// Of one lane; nothing when it is gone or the kernel does not tell.
  std::optional<LineFacts> line_of(LaneId id) const;
  SlabPool& slabs() { return thread_.slabs(); }
  Instant now() const { return now_; }
  void refresh_now() { now_ = thread_.clock().now(); }

  // For LaneDriver and SocketRelay.
  void flush();
  void schedule_flush();
  void lane_lost(LaneId id, const Error& reason);
  void relay_ended(StreamId id);

  /// Called every two seconds: what nobody needs any more goes back.
  void housekeep();

 private:
  void deliver_stream_events();
  void deliver_session_events();
  void transmit();
  bool drop_lane(LaneId id, bool with_reset);
  void arm_timer();
  void close_everything();

  DataThread& thread_;
  SessionObserver& observer_;
  const Role role_;
  Instant now_;
  Session session_;
  asio::steady_timer timer_;
  Instant armed_ = Instant::max();
  std::map<LaneId, std::shared_ptr<LaneDriver>> lanes_;                ///< Shared with its pending handlers.
  std::unordered_map<StreamId, std::shared_ptr<SocketRelay>> relays_;  ///< Likewise.
  std::shared_ptr<SessionDriver*> self_;  ///< Shared with posted handlers; null inside once destroyed.
  bool flush_scheduled_ = false;
  bool flushing_ = false;
};

}  // namespace culvert
